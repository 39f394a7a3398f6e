"""Tunnels when the daemon's table of descriptors is full: refused as what it is."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.daemon_process import Answer, DaemonProcess

DESCRIPTORS = 128
TCP = ("POST", {"Connection": "Upgrade", "Upgrade": "tcp"})
WEBSOCKET = (
    "GET",
    {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    },
)


def connected(daemon: DaemonProcess, stack: ExitStack) -> socket.socket:
    sock = stack.enter_context(socket.socket(socket.AF_UNIX))
    sock.settimeout(30)
    sock.connect(daemon.socket_path)
    return sock


def use_up(daemon: DaemonProcess, fd: int, stack: ExitStack) -> None:
    """Have every descriptor of the daemon in use: by held sockets, and by clients that wait."""
    while daemon.request("POST", "/v1/sockets", {}).status == 201:
        pass
    head = f"GET /v1/sockets/{fd}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    for _ in range(DESCRIPTORS):
        waiting = connected(daemon, stack)
        with suppress(OSError):  # refused and closed already
            waiting.sendall(head)
            waiting.recv(12)


def test_tunnel_without_a_descriptor_for_it_is_refused_by_the_kernels_errno(
    fresh_daemon: Callable[..., DaemonProcess],
):
    daemon = fresh_daemon("--descriptors", str(DESCRIPTORS))
    pairs = [daemon.request("POST", "/v1/socketpairs", {}).json()["sockets"] for _ in range(2)]
    (left, _), (other, _) = ((one["fd"], two["fd"]) for one, two in pairs)

    def opened(method: str, headers: dict[str, str]) -> Answer:
        return daemon.request(method, f"/v1/sockets/{left}/tunnel", None, headers)

    with ExitStack() as stack:
        use_up(daemon, other, stack)
        for method, headers in (TCP, WEBSOCKET):
            answer = opened(method, headers)
            assert (answer.status, answer.json()["errno"]) == (503, "EMFILE"), answer.body
    daemon.stop()
