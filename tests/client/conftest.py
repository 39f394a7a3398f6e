"""The daemon of ``tests/daemon_process.py`` for the tests of this folder, and a client of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from socketd_client import Client
from tests.daemon_process import daemon, fresh_daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon_process import DaemonProcess

__all__ = ["client", "daemon", "fresh_daemon"]


@pytest.fixture
def client(daemon: DaemonProcess) -> Iterator[Client]:
    """Close what a test made: the daemon is the module's."""
    with Client(daemon.url) as client:
        yield client
        for sock in client.sockets.list():
            sock.close()
