"""A waiting room, with a socket to wait for and an HTTP connection to wait on."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest
from gevent.hub import get_hub

from socketd.runtime.waiting import WaitingRoom

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd.core.seams import Waiter
    from socketd.runtime.waiting import RequestWaiter

    def conforms(waiter: RequestWaiter) -> Waiter:
        return waiter


LONG_S = 60.0  # never waited out: what is tested comes before


@pytest.fixture
def room() -> Iterator[WaitingRoom]:
    room = WaitingRoom(max_waits=100)
    yield room
    assert room.count == 0
    room.close()


@pytest.fixture
def held() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def http() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The daemon's end of an HTTP connection, and the client's."""
    server, client = socket.socketpair()
    with server, client:
        yield server, client


@pytest.fixture
def waiter(room, http) -> RequestWaiter:
    return room.waiter(http[0].fileno())


def soon() -> float:
    return time.monotonic() + LONG_S


def loop_rounds(run) -> int:
    """Return how often the loop turned while ``run`` ran."""
    rounds = 0

    def count() -> None:
        nonlocal rounds
        rounds += 1

    watcher = get_hub().loop.check()
    watcher.start(count)
    try:
        run()
    finally:
        watcher.stop()
        watcher.close()
    return rounds
