"""An answer that ends early, wherever that is, is no answer: not an empty one, and not a shorter one."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from socketd_client.calls import BYTES, Call
from socketd_client.endpoint import Endpoint
from socketd_client.exchange import Exchange
from tests.client.http_stand_in import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMED = "Socketd-Instance: the-daemon"
ANSWERS = {
    "length first": f"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n{NAMED}\r\n\r\nhello, world",
    "length last": f"HTTP/1.1 200 OK\r\n{NAMED}\r\nContent-Length: 12\r\n\r\nhello, world",
    "chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\nhello, world\r\n0\r\n\r\n",
}
CALL = Call("POST", "/v1/sockets/64/recv", accept=BYTES, if_match=1)


@contextlib.contextmanager
def cutting(path: Path, answer: bytes) -> Iterator[list[int]]:
    """Answer one request a connection: each first with one byte more of it, and then whole.

    After the 0 of the last chunk nothing new is said.
    """

    def serve() -> None:
        for length in range(len(answer.removesuffix(b"\r\n\r\n"))):
            for part in (answer[:length], answer):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(part)
            served.append(length)

    served: list[int] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(WAIT_S)
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield served
        finally:
            thread.join(WAIT_S)


@pytest.mark.parametrize("form", sorted(ANSWERS))
def test_every_cut_of_an_answer_has_the_call_sent_again(tmp_path: Path, form: str):
    answer = ANSWERS[form].encode()
    with cutting(tmp_path / "s", answer) as served:
        exchange = Exchange(Endpoint.parse(f"unix://{tmp_path / 's'}"), token=None, timeout_s=WAIT_S)
        exchange.note("the-daemon")
        for length in range(len(answer.removesuffix(b"\r\n\r\n"))):
            assert exchange.send(CALL).body == b"hello, world", answer[:length]
        exchange.close()
    assert served
