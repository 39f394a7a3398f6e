"""Recorded kernel bytes, real sockets, and ``ss`` to compare with."""

from __future__ import annotations

import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATA = Path(__file__).parents[2] / "data" / "kernel"


@pytest.fixture
def recorded() -> Callable[[str], bytes]:
    """Read what a kernel once answered, by the name in tests/data/kernel/README.md."""

    def read(name: str) -> bytes:
        return bytes.fromhex((DATA / f"{name}.hex").read_text(encoding="ascii"))

    return read


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Close what a test enters, however it ends."""
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def listener(stack: ExitStack) -> socket.socket:
    """Listen on a loopback port for at most 7 waiting connections."""
    return stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=7))


@pytest.fixture
def connection(stack: ExitStack, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Connect over loopback TCP: who connected, and who accepted."""
    near = stack.enter_context(socket.create_connection(listener.getsockname()))
    far = stack.enter_context(listener.accept()[0])
    return near, far


@pytest.fixture
def ss() -> Callable[..., list[str]]:
    """Run ``ss`` and return one line a socket."""

    def run(*arguments: str) -> list[str]:
        command = ["ss", "--no-header", "--oneline", "--numeric", *arguments]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=10
        ).stdout.splitlines()

    return run
