"""Blocks in which every Internet socket of this process is held by the daemon, and servers within them."""

from __future__ import annotations

import gc
import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from socketd_client import Client, installed
from tests.system.asking import closing_all

if TYPE_CHECKING:
    import socketserver
    from collections.abc import Iterator

    from tests.daemon_process import DaemonProcess

BOUND_S = 30.0
MEGABYTES = random.Random(6).randbytes(3 << 20)


@pytest.fixture(params=[None, "descriptor"], ids=["by-request", "by-descriptor"])
def holding(request: pytest.FixtureRequest, daemon: DaemonProcess) -> Iterator[Holding]:
    """Give a block in which every Internet socket is held by the daemon; none is left after the test."""
    with Client(daemon.url, prefer=request.param) as client, closing_all(client):
        yield Holding(client, request.param)
        gc.collect()  # urllib3 closes a pool's connections when the pool is collected
        assert [sock.info().state for sock in client.sockets.list()] == []


@dataclass(frozen=True, slots=True)
class Holding:
    """What ``with`` takes: ``with holding():``."""

    client: Client
    prefer: str | None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Install, and see that it was not in vain."""
        last = max((event.sequence for event in self.client.events(0, timeout=0)), default=0)
        with installed(self.client, prefer=self.prefer):
            yield
        assert any(event.event == "created" for event in self.client.events(last, timeout=0))

    def count(self) -> int:
        """Count what the daemon holds."""
        return sum(1 for _ in self.client.sockets.list())


@contextmanager
def served_beside(server: socketserver.BaseServer) -> Iterator[tuple[str, int]]:
    """Serve in a thread until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[:2]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
