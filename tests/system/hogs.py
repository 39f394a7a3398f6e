"""Clients that take more than their share, for tests of who else is still served."""

from __future__ import annotations

import contextlib
import json
import resource
import select
import socket
import struct
import time
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

from tests import daemon_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon_process import Answer, DaemonProcess

PATIENCE_S = 60.0
MOST_CONNECTIONS = (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1000) // 2
"""Half of a daemon's descriptors are for connections; some of those are for who asks beside a crowd."""
LISTENING = {"family": "inet", "type": "stream", "bind": "127.0.0.1:0", "listen": {}}


def connected(daemon: DaemonProcess) -> socket.socket:
    """Return a connection to the API on which nothing was sent."""
    return daemon_process.connected(daemon.socket_path, PATIENCE_S)


@contextlib.contextmanager
def idle(daemon: DaemonProcess, count: int) -> Iterator[list[socket.socket]]:
    """Hold ``count`` connections that say nothing."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connected(daemon)) for _ in range(count)]


def answer(client: socket.socket) -> tuple[int, Any, bytes]:
    """Read one answer: status, headers and body."""
    with HTTPResponse(client) as response:
        response.begin()
        return response.status, response.headers, response.read()


def check_served(daemon: DaemonProcess, rounds: int = 5) -> None:
    """Make requests of every kind on connections of their own; every one is answered."""
    for _ in range(rounds):
        made = daemon.request("POST", "/v1/sockets", LISTENING)
        assert made.status == 201, made.body
        path = f"/v1/sockets/{made.json()['fd']}"
        assert daemon.request("GET", path).status == 200
        assert daemon.request("DELETE", path).status == 204


def check_hungry(told: Answer, symbol: str = "EMFILE") -> None:
    """Check an answer that says "later"."""
    assert told.status == 503, told.body
    assert told.json()["errno"] == symbol
    assert int(told.headers["Retry-After"]) >= 1


def is_ended(client: socket.socket) -> bool:
    """Whether the daemon has ended a connection, everything before read."""
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    return bool(poll.poll(0))


def await_end(client: socket.socket) -> bytes:
    """Read until the daemon ends the connection; return what came."""
    came = bytearray()
    with contextlib.suppress(ConnectionResetError):  # it closes with bytes of ours unread
        while part := client.recv(65536):
            came += part
    return bytes(came)


def trickle(client: socket.socket, endless: bytes, pause_s: float = 0.05) -> bytes:
    """Send byte for byte until the daemon has had enough; return what it said."""
    poll = select.poll()
    poll.register(client, select.POLLIN)
    deadline = time.monotonic() + PATIENCE_S
    sent = 0
    while not poll.poll(pause_s * 1000):
        assert time.monotonic() < deadline, "it is still read"
        with contextlib.suppress(BrokenPipeError):
            client.send(endless[sent % len(endless) :][:1])
        sent += 1
    return await_end(client)


def problem(raw: bytes) -> tuple[int, dict[str, Any]]:
    """Take an answer apart that ends its connection."""
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


@contextlib.contextmanager
def lingering(seconds: int) -> Iterator[socket.socket]:
    """Give a TCP socket with unsent bytes whose ``close(2)`` waits: nobody reads at the other end."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))
        sender.connect(listener.getsockname())
        deaf, _ = listener.accept()
        with deaf:
            sender.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                while sender.send(b"x" * 65536):
                    pass
            yield sender
            # Before the sender is closed here as well, or that waits; unless the test has given its own away.
            if sender.fileno() < 0:
                return
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
