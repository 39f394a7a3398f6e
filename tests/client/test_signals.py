"""A signal handler that raises ends a wait, and the daemon sees the connection end."""

from __future__ import annotations

import functools
import os
import select
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import Client
from tests.client.http_stand_in import WAIT_S, Reply, Seen, serving, socket_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class AlarmError(Exception):
    """What a program's own handler raises."""


class RaisesOnce:
    """A handler; it raises the first time only, for the signal is sent until it has had its effect."""

    def __init__(self, error: Exception) -> None:
        self._left = [error]

    def __call__(self, _number: int, _frame: object) -> None:
        if self._left:
            try:
                {}["an error of the handler's own, which it deals with"]
            except KeyError as own:
                raise self._left.pop() from own


class Waits:
    """Answers a POST only when released, and signals this process meanwhile.

    Not once: CPython misses a signal that comes right before a system call, until the next one.
    """

    def __init__(self) -> None:
        self.release = threading.Event()
        self.client_left = threading.Event()

    def __call__(self, seen: Seen) -> Reply | None:
        if seen.method == "GET":
            return Reply(socket_json(state="connected"))
        gone = select.poll()
        gone.register(seen.connection, select.POLLRDHUP)
        while not self.release.is_set():
            os.kill(os.getpid(), signal.SIGUSR1)
            if gone.poll(20):
                self.client_left.set()
                return None
        return Reply(
            {"sent": 1, "sockets": [socket_json()]} if seen.path.endswith(("send", "accept")) else b"bytes"
        )


@contextmanager
def handled_by(handler: Callable[[int, object], None]) -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("kind", [AlarmError, TimeoutError, ConnectionResetError, BlockingIOError, OSError])
@pytest.mark.parametrize(
    "wrapped", [lambda handler: handler, functools.partial, lambda handler: handler.__call__]
)
@pytest.mark.parametrize("call", ["recv", "accept", "sendall", "recvfrom"])
def test_handler_that_raises_breaks_out_and_the_request_is_abandoned(
    tmp_path: Path, call: str, kind: type[Exception], wrapped: Callable[[RaisesOnce], Any]
):
    error = kind("from a handler")
    answer = Waits()
    with (
        handled_by(wrapped(RaisesOnce(error))),
        serving(answer, tmp_path / "s") as server,
        Client(server.url) as client,
    ):
        sock = client.sockets.get(64)
        arguments = {"recv": (5,), "accept": (), "sendall": (b"x",), "recvfrom": (5,)}[call]
        with pytest.raises(kind) as caught:
            getattr(sock, call)(*arguments)
        assert caught.value is error
        assert answer.client_left.wait(WAIT_S)
        answer.release.set()
        assert sock.info().state == "connected"


def test_handler_that_returns_does_not_disturb_the_wait(tmp_path: Path):
    answer = Waits()
    with (
        handled_by(lambda *_: answer.release.set()),
        serving(answer, tmp_path / "s") as server,
        Client(server.url) as client,
    ):
        assert client.sockets.get(64).recv(5) == b"bytes"
    assert not answer.client_left.is_set()
