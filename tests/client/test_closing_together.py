"""``close`` of one socket by several threads: it is closed once, and none of them fails."""

from __future__ import annotations

import errno
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from socketd_client import Socket
from tests.client.http_stand_in import Reply
from tests.client.told_handle import Handle, handle

if TYPE_CHECKING:
    from socketd_client import Client
    from tests.client.http_stand_in import Seen

__all__ = ["handle"]  # fixtures

BOUND_S = 30.0


def test_second_close_does_not_ask_while_the_first_is_on_its_way(handle: Handle):
    asked, answered = threading.Event(), threading.Event()

    def answer(seen: Seen) -> Reply:
        assert seen.method == "DELETE"
        asked.set()
        assert answered.wait(BOUND_S)
        return Reply(status=204)

    with ThreadPoolExecutor() as threads, handle(answer) as sock:
        first = threads.submit(sock.close)
        assert asked.wait(BOUND_S)
        sock.close()
        assert sock.fileno() == -1
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            sock.recv(1)
        assert caught.value.errno == errno.EBADF
        answered.set()
        first.result(BOUND_S)
    assert len(handle.asked) == 1


def test_many_threads_close_a_socket_together(client: Client):
    with ThreadPoolExecutor(8) as threads:
        for _ in range(20):
            sock = Socket(client=client)
            together = threading.Barrier(8)

            def close(sock: Socket = sock, together: threading.Barrier = together) -> None:
                together.wait(BOUND_S)
                sock.close()

            for done in [threads.submit(close) for _ in range(8)]:
                done.result(BOUND_S)
    assert list(client.sockets.list()) == []
