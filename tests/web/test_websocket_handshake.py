"""Handshakes of WebSockets with headers that cannot be meant: refused, and never a fault of the daemon."""

from __future__ import annotations

import socket

import pytest

from tests.web.websockets import pair, small

__all__ = ["small"]
GOOD = {
    "Host": b"localhost",
    "Connection": b"Upgrade",
    "Upgrade": b"websocket",
    "Sec-WebSocket-Version": b"13",
    "Sec-WebSocket-Key": b"dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("name", "value", "statuses"),
    [
        ("Host", b"localhost..", {101, 400, 421}),
        ("Host", b"xn--a", {101, 400, 421}),
        ("Sec-WebSocket-Protocol", b"socketd.v1, \xff", {422}),
        ("Sec-WebSocket-Protocol", b" ,, ", {101, 422}),
        ("Sec-WebSocket-Extensions", b"permessage-deflate; server_max_window_bits=99", {101}),
        ("Sec-WebSocket-Extensions", b"\xff; ;=", {101, 422}),
        ("Sec-WebSocket-Version", b"13, 8", {422, 426}),
        ("Sec-WebSocket-Key", b"\xff", {422}),
    ],
)
def test_odd_header_is_refused_or_passed_over(small, name, value, statuses):
    left, _ = pair(small, "stream")
    lines = [header.encode() + b": " + content for header, content in {**GOOD, name: value}.items()]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(small.socket_path)
        request = f"GET /v1/sockets/{left}/tunnel HTTP/1.1".encode()
        sock.sendall(b"\r\n".join((request, *lines, b"", b"")))
        answer = sock.recv(65536)
    assert int(answer.split()[1]) in statuses, answer
