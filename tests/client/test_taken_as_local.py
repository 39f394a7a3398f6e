"""What a taken socket does that a local one does, too, where it used to differ."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

import socketd_client
from socketd_client import Client, Taken, installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.daemon_process import DaemonProcess

BOUND_S = 30.0


@pytest.fixture
def _by_descriptor(client: Client) -> Iterator[None]:
    with installed(client, prefer="descriptor"):
        yield


pytestmark = pytest.mark.usefixtures("_by_descriptor")


def test_protocol_is_the_constructors():
    with socket.socket() as sock, sock.dup() as twin, socket.create_server(("127.0.0.1", 0)) as listener:
        assert isinstance(sock, Taken)
        assert (sock.proto, twin.proto, listener.proto) == (0, 0, 0)
        with socket.create_connection(listener.getsockname(), BOUND_S), listener.accept()[0] as guest:
            assert guest.proto == 0
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as sock:
        assert sock.proto == socket.IPPROTO_TCP


@pytest.mark.parametrize(("timeout_s", "is_blocking"), [(None, True), (5.0, False), (0.0, False)])
def test_detached_descriptor_blocks_if_the_socket_did(timeout_s: float | None, is_blocking: bool):  # noqa: FBT001
    with socket.socket() as sock:
        sock.settimeout(timeout_s)
        number = sock.detach()
        try:
            assert os.get_blocking(number) is is_blocking
        finally:
            os.close(number)


def test_detaching_does_not_fail_where_the_daemon_has_gone(fresh_daemon: Callable[..., DaemonProcess]):
    """``ssl`` has made an object of the number by then: both would close it."""
    daemon = fresh_daemon()
    with Client(daemon.url, timeout_s=0.2, prefer="descriptor") as client:
        listener = socketd_client.create_server(("127.0.0.1", 0), client=client)
        assert isinstance(listener, Taken)
        address = listener.getsockname()
        os.killpg(daemon.process.pid, signal.SIGKILL)  # its worker, too
        number = listener.detach()
    with socket.socket(fileno=number) as own:
        assert own.getsockname() == address
