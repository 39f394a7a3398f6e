"""The end of the daemon under a WebSocket: what it took is delivered first, both ways."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from wsproto.events import BytesMessage, CloseConnection, Ping

from tests.websocket_client import Browser

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.daemon_process import DaemonProcess

PIECE = b"x" * 65_536


def fill(sock: socket.socket, piece: bytes = PIECE) -> None:
    """Send until nothing goes for a while: the relay has something in hand then."""
    sock.settimeout(0.3)
    with suppress(TimeoutError):
        while True:
            sock.send(piece)
    sock.settimeout(30)


def read_all(sock: socket.socket) -> None:
    with suppress(ConnectionResetError):  # the daemon leaves some of what we said unread
        while sock.recv(1 << 20):
            pass


def test_websocket_gets_what_was_taken_for_it_and_so_does_its_peer(
    fresh_daemon: Callable[..., DaemonProcess],
):
    daemon = fresh_daemon()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        fd = daemon.request("POST", "/v1/sockets", {"connect": address}).json()["fd"]
        far, _ = server.accept()
    with far, socket.socket(socket.AF_UNIX) as sock:
        sock.connect(daemon.socket_path)
        browser = Browser(sock, f"/v1/sockets/{fd}/tunnel")
        fill(far)
        fill(sock, b"\x82\xff" + (1 << 40).to_bytes(8, "big") + b"mask" + PIECE)
        reading = threading.Thread(target=read_all, args=(far,))
        reading.start()
        daemon.process.terminate()
        while not isinstance(event := browser.next(), CloseConnection):
            assert isinstance(event, BytesMessage | Ping)
        assert event.code == 1001
        reading.join()
    assert "not delivered" not in daemon.check_end()
