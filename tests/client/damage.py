"""A daemon behind a faulty proxy, and clients of both: what the tests of exactly-once stand on."""

from __future__ import annotations

import contextlib
import hashlib
import random
from typing import TYPE_CHECKING

from socketd_client import Client
from tests.faulty_proxy import FaultyProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.daemon_process import DaemonProcess

CALL_S = 60.0
MIB = 1 << 20


@contextlib.contextmanager
def damaged(
    daemon: DaemonProcess, folder: Path | None, seed: int, *, probability: float | None = None
) -> Iterator[Client]:
    """Give a client whose requests go through a faulty proxy: over a Unix socket, or TCP without a folder."""
    more = {} if probability is None else {"probability": probability}
    front = None if folder is None else folder / "faulty"
    with (
        FaultyProxy(daemon.socket_path, front, seed, **more) as proxy,
        Client(proxy.url, timeout_s=CALL_S) as client,
    ):
        yield client


def held_numbers(daemon: DaemonProcess) -> set[int]:
    """Ask the daemon itself what it holds."""
    with Client(daemon.url) as client:
        return {sock.fd for sock in client.sockets.list()}


def noise(size: int, seed: int) -> bytes:
    """Make bytes of which no part is like another."""
    return random.Random(seed).randbytes(size)


def digest(data: bytes | bytearray) -> str:
    """Make what two transfers are compared by."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()
