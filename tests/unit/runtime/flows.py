"""Flows of a pump between real sockets, with somebody at both outer ends."""

from __future__ import annotations

import os
import socket
import struct
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.held import new_pump

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from socketd.core.pumping import Ending
    from socketd.runtime.pumping.pump import SplicedFlow, SplicePump

LONG_S = 30.0  # never waited out: what is tested comes before
BIG = os.urandom(1 << 20) * 5 + b"odd"
RESET = struct.pack("ii", 1, 0)


def tcp() -> tuple[socket.socket, socket.socket]:
    """Connect two TCP sockets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far


PAIRS: dict[str, Callable[[], tuple[socket.socket, socket.socket]]] = {
    "tcp": tcp,
    "unix": socket.socketpair,
}


@dataclass
class Joined:
    """A flow between ``inner_a`` and ``inner_b``, with somebody at ``a`` and at ``b``."""

    pump: SplicePump
    a: socket.socket
    inner_a: socket.socket
    inner_b: socket.socket
    b: socket.socket
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        for each in (self.a, self.b):
            each.settimeout(LONG_S)
        for inner in (self.inner_a, self.inner_b):
            os.set_blocking(inner.fileno(), False)

    def begin(self, early: bytes = b"", *, is_guest: bool = False) -> SplicedFlow:
        """Join them."""
        self.flow = self.pump.join(
            self.inner_a.fileno(), self.inner_b.fileno(), self.ended.set, early, is_guest=is_guest
        )
        return self.flow

    def ending(self) -> Ending:
        """Wait for the end."""
        assert self.ended.wait(LONG_S)
        assert self.flow.ending is not None
        return self.flow.ending

    def fill(self) -> int:
        """Send to ``b``, which does not read, until all is full; return how much."""
        count = 0
        self.a.settimeout(0.3)
        while True:
            try:
                count += self.a.send(BIG)
            except TimeoutError:
                self.a.settimeout(LONG_S)
                return count


@pytest.fixture
def pump() -> Iterator[SplicePump]:
    made = new_pump()
    yield made
    made.close()


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=["tcp-tcp", "tcp-unix", "unix-tcp", "unix-unix"])
def joined(request: pytest.FixtureRequest, pump: SplicePump, sockets: ExitStack) -> Joined:
    first, second = (PAIRS[name]() for name in request.param.split("-"))
    for each in (*first, *second):
        sockets.enter_context(closing(each))
    return Joined(pump, first[0], first[1], second[0], second[1])


@pytest.fixture
def over_tcp(pump: SplicePump, sockets: ExitStack) -> Joined:
    first, second = tcp(), tcp()
    for each in (*first, *second):
        sockets.enter_context(closing(each))
    return Joined(pump, first[0], first[1], second[0], second[1])


def read_all(sock: socket.socket) -> bytes:
    """Read up to the end of file."""
    parts = []
    while part := sock.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def read(sock: socket.socket, count: int) -> bytes:
    """Read so much."""
    with sock.makefile("rb", buffering=0) as file:
        parts = []
        while count and (part := file.read(count)):
            count -= len(part)
            parts.append(part)
    return b"".join(parts)


def in_background(call: Callable[[], object]) -> threading.Thread:
    """Do it in a thread, which the test joins."""
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def available(sock: socket.socket) -> int:
    """Count what can be read until nothing comes."""
    count = 0
    while True:
        try:
            part = sock.recv(1 << 20)
        except (BlockingIOError, TimeoutError):
            return count
        count += len(part)
