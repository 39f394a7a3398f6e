"""How a tunnel over TCP ends: with all that was said, and by a reset only where something is missing."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import struct
import subprocess
import termios
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.web.websockets import TOKEN, pair, peer, small

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon_process import DaemonProcess

__all__ = ["peer", "small"]
RAW = {"Content-Type": "application/octet-stream"}
LITTLE = 4096


@contextmanager
def opened(daemon: DaemonProcess, fd: int) -> Iterator[socket.socket]:
    """Open a tunnel over TCP, by a client that has little room for what comes."""
    daemon.await_log("http://127.0.0.1")
    found = re.search(r"http://127\.0\.0\.1:([0-9]+)", daemon.log)
    assert found is not None
    with socket.socket() as sock:
        sock.settimeout(30)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LITTLE)
        sock.connect(("127.0.0.1", int(found[1])))
        head = (
            f"POST /v1/sockets/{fd}/tunnel HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        )
        sock.sendall(f"{head}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += sock.recv(1)
        assert answer.startswith(b"HTTP/1.1 101 ")
        yield sock


def unacknowledged(sock: socket.socket) -> int:
    return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0])


def all_of(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


@pytest.mark.parametrize("has_spoken", [False, True])
def test_all_that_a_unix_peer_said_before_it_closed_arrives(small, has_spoken):
    """Such a peer hangs up both ways at once."""
    left, right = pair(small, "stream")
    said = os.urandom(400_000)
    with opened(small, left) as tunnel:
        if has_spoken:
            tunnel.sendall(b"a question")
            assert small.request("POST", f"/v1/sockets/{right}/recv", {"size": 100}).body == b"a question"
        assert small.request("PUT", f"/v1/sockets/{right}/stream", said, RAW).status == 200
        assert small.request("DELETE", f"/v1/sockets/{right}").status == 204
        assert all_of(tunnel) == said


def test_what_had_come_before_the_socket_was_closed_arrives_before_the_reset(small, peer):
    fd, far = peer
    said = os.urandom(100_000)
    with opened(small, fd) as tunnel:
        far.sendall(said)
        while (
            unacknowledged(far)
            or small.request("GET", f"/v1/sockets/{fd}/info").json()["queues"]["unread_bytes"]
        ):
            pass
        assert small.request("DELETE", f"/v1/sockets/{fd}").status == 204
        got = b""
        while len(got) < len(said):
            got += tunnel.recv(1 << 16)
        assert got == said
        with pytest.raises(ConnectionResetError):
            tunnel.recv(1)


@pytest.mark.needs("ss")
def test_client_that_says_nothing_is_probed(small, peer):
    """Else a host that is gone without a word would keep the socket from everybody."""
    fd, _ = peer
    with opened(small, fd) as tunnel:
        port = tunnel.getpeername()[1]
        command = ["ss", "-tnoH", f"sport = :{port}"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert "timer:(keepalive" in shown.stdout
