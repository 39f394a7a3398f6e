"""WebSockets to a daemon that takes no large messages, for tests: opened, and what their held sockets are."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest

from tests.daemon_process import running_daemon
from tests.websocket_client import Browser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon_process import DaemonProcess

TOKEN = "token/with+signs~"
RESET = struct.pack("ii", 1, 0)
BODY_BYTES = 65536


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Iterator[DaemonProcess]:
    """A daemon that takes no large messages, over TCP too."""
    flags = ("--tcp", "127.0.0.1:0", "--max-body-bytes", str(BODY_BYTES))
    with running_daemon(tmp_path_factory.mktemp("small"), *flags, environ={"SOCKETD_TOKEN": TOKEN}) as daemon:
        yield daemon


@pytest.fixture
def browse(small):
    """Open WebSockets over the Unix socket."""
    opened: list[Browser] = []

    def start(fd: int, *subprotocols: str, **headers: str) -> Browser:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(small.socket_path)
        opened.append(Browser(sock, f"/v1/sockets/{fd}/tunnel", subprotocols, **headers))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture
def peer(small):
    """A held connection's number, and its other end here."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        fd = small.request("POST", "/v1/sockets", {"connect": address}).json()["fd"]
        far, _ = server.accept()
    with far:
        far.settimeout(30)
        yield fd, far
    small.request("DELETE", f"/v1/sockets/{fd}")


def pair(daemon: DaemonProcess, kind: str) -> tuple[int, int]:
    left, right = daemon.request("POST", "/v1/socketpairs", {"type": kind}).json()["sockets"]
    return left["fd"], right["fd"]


def sent(daemon: DaemonProcess, fd: int, data: bytes) -> int:
    return daemon.request(
        "POST", f"/v1/sockets/{fd}/send", data, {"Content-Type": "application/octet-stream"}
    ).status


def received(daemon: DaemonProcess, fd: int, **more: Any) -> bytes:
    return daemon.request("POST", f"/v1/sockets/{fd}/recv", {"size": 65536, **more}).body
