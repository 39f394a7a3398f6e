"""Requests over a connection that stands, and every way in which their answers may end early."""

from __future__ import annotations

import errno
import socket
import threading
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

import pytest
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, ReadTimeoutError

from socketd_client import Client
from socketd_client.calls import BYTES, Call, Pieces, Request
from socketd_client.endpoint import Endpoint
from socketd_client.exchange import Exchange
from socketd_client.shortcut import ask
from tests.client.http_stand_in import SERVICE, WAIT_S, Reply, Seen, serving, socket_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HELLO = b"hello, world"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nX-Kind: one\r\n\r\n" + HELLO
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n"
REFUSAL = b"HTTP/1.1 409 Conflict\r\nContent-Length: 12\r\n\r\n" + HELLO


class Line:
    """A connection of urllib3's that stands, and its far end."""

    def __init__(self) -> None:
        near, self.far = socket.socketpair()
        self.far.settimeout(WAIT_S)
        self.connection = HTTPConnection("localhost")
        self.connection.sock = near

    def ask(self, answer: bytes, answer_s: float = WAIT_S, **more: Any) -> Any:
        self.far.sendall(answer)
        return ask(self.connection, wanted(**more), WAIT_S, answer_s)

    def sent(self) -> bytes:
        """End the connection; give what came over it."""
        self.connection.close()
        data = b""
        while piece := self.far.recv(65536):
            data += piece
        return data


def wanted(method: str = "POST", body: Any = None, into: memoryview | None = None, **headers: str) -> Request:
    return Request(method, "/v1/sockets/64/recv?size=5", {"Host": "localhost", **headers}, body, into)


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.connection.close()
    made.far.close()


@pytest.mark.parametrize("answer", [LENGTH, CHUNKS])
def test_requests_follow_each_other(line: Line, answer: bytes):
    for _ in range(3):
        assert line.ask(answer).body == HELLO
    assert line.sent() == 3 * b"POST /v1/sockets/64/recv?size=5 HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("answer", [LENGTH, CHUNKS])
@pytest.mark.parametrize("room", [None, 12, 100])
def test_every_cut_of_an_answer_is_an_error_and_ends_the_connection(answer: bytes, room: int | None):
    # After the 0 of the last chunk nothing new is said.
    for length in range(len(answer.removesuffix(b"\r\n\r\n"))):
        line = Line()
        line.far.sendall(answer[:length])
        line.far.shutdown(socket.SHUT_WR)
        with line.far, pytest.raises((OSError, HTTPException, HTTPError)):
            ask(line.connection, wanted(into=room and memoryview(bytearray(room))), WAIT_S, WAIT_S)
        assert line.connection.sock is None


def test_bytes_go_where_they_are_wanted(line: Line):
    room = bytearray(b"." * 20)
    answer = line.ask(LENGTH, into=memoryview(room)[2:])
    assert (answer.body, answer.placed, room) == (b"", 12, b".." + HELLO + b"......")
    assert answer.headers.get("x-kind") == "one"


@pytest.mark.parametrize(("answer", "room"), [(LENGTH, 11), (CHUNKS, 20), (REFUSAL, 20)])
def test_what_does_not_fit_or_refuses_goes_nowhere_else(line: Line, answer: bytes, room: int):
    into = bytearray(room)
    found = line.ask(answer, into=memoryview(into))
    assert (found.body, found.placed, into) == (HELLO, 0, bytes(room))


@pytest.mark.parametrize("size", [0, 5, 70_000, 3_000_000])
@pytest.mark.parametrize("kind", [memoryview, lambda data: Pieces(memoryview(data))])
def test_bodies_arrive_whole(line: Line, size: int, kind: Any):
    body = bytes(range(250)) * (size // 250 + 1)
    received = []
    reader = threading.Thread(target=lambda: received.append(until_end(line.far)))
    reader.start()
    line.ask(LENGTH, body=kind(body[:size]))
    line.connection.close()
    reader.join(WAIT_S)
    assert received[0].partition(b"\r\n\r\n")[2] == body[:size]


def test_an_answer_before_the_body_was_read_is_given(line: Line):
    line.far.sendall(REFUSAL)
    line.far.shutdown(socket.SHUT_RDWR)
    assert ask(line.connection, wanted(body=memoryview(bytes(3_000_000))), WAIT_S, WAIT_S).status == 409


@pytest.mark.parametrize("end", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n"])
def test_the_last_answer_of_a_connection_closes_it(line: Line, end: bytes):
    assert line.ask(end + b"Content-Length: 12\r\n\r\n" + HELLO).body == HELLO
    assert line.connection.sock is None


def test_what_has_no_body_is_not_waited_for(line: Line):
    assert line.ask(b"HTTP/1.1 204 No Content\r\n\r\n").status == 204
    assert line.ask(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", method="HEAD").body == b""
    assert line.ask(b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH).body == HELLO


def test_no_answer_in_time_is_said_and_ends_the_connection(line: Line):
    with pytest.raises(ReadTimeoutError):
        line.ask(LENGTH[:20], answer_s=0.01)
    assert line.connection.sock is None


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb", "a\0b"])
def test_a_header_with_a_line_end_is_not_sent(line: Line, value: str):
    far = line.far
    with pytest.raises(ValueError, match="control character"):
        line.ask(b"", Token=value)
    assert far.recv(1) == b""


def test_a_broken_connection_is_told_as_the_kernel_does(line: Line):
    line.far.close()
    with pytest.raises(ConnectionError) as caught:
        ask(line.connection, wanted(), WAIT_S, WAIT_S)
    assert caught.value.errno in (None, errno.EPIPE, errno.ECONNRESET)


@pytest.mark.parametrize("is_tcp", [False, True])
def test_a_cut_of_a_kept_connection_has_the_call_sent_again(tmp_path: Path, is_tcp: bool):  # noqa: FBT001 - a test's parameter
    def answer(seen: Seen) -> Reply | None:
        if seen.path.endswith("/recv") and len(server.seen) % 2 == 0:
            seen.connection.sendall(LENGTH[:-4])
            return None
        return Reply(HELLO)

    call = Call("POST", "/v1/sockets/64/recv", accept=BYTES, if_match=1)
    with serving(answer, None if is_tcp else tmp_path / "s") as server:
        exchange = Exchange(Endpoint.parse(server.url), token=None, timeout_s=WAIT_S)
        exchange.note("the-daemon")
        for _ in range(4):
            assert exchange.send(call).body == HELLO
        exchange.close()
    keys = [seen.headers["Idempotency-Key"] for seen in server.seen]
    assert len(keys) == 7
    assert len(set(keys)) == 4


def test_recv_into_fills_the_buffer_whichever_way_the_answer_came(tmp_path: Path):
    def answer(seen: Seen) -> Reply:
        if seen.method == "GET":
            return Reply(SERVICE if seen.path == "/v1/" else socket_json(state="connected"))
        return Reply(HELLO)

    with serving(answer, tmp_path / "s") as server, Client(server.url) as client:
        sock = client.sockets.get(64)
        for is_fresh in (False, True):
            if is_fresh:
                server.hang_up()
            room = bytearray(20)
            assert sock.recv_into(room) == 12
            assert room == HELLO + bytes(8)
            room.clear()  # nobody refers to it any more
        assert len(server.connections) == 2


def until_end(sock: socket.socket) -> bytes:
    data = bytearray()
    while piece := sock.recv(65536):
        data += piece
    return bytes(data)
