"""Answers that are written past the server: they have the headers that every answer has."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.daemon_process import DaemonProcess

_KEY = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


@pytest.mark.parametrize(
    ("request_line", "more"),
    [
        ("POST /v1/sockets/{fd}/tunnel", "Upgrade: tcp"),
        ("GET /v1/sockets/{fd}/tunnel", f"Upgrade: websocket\r\n{_KEY}"),
        ("POST /v1/sockets/give", "Upgrade: socketd-give"),
        ("POST /v1/sockets/{fd}/tunnel", "X-Not: asked"),
    ],
)
def test_answer_written_by_hand_names_request_and_daemon(daemon: DaemonProcess, request_line: str, more: str):
    left, right = daemon.request("POST", "/v1/socketpairs", {}).json()["sockets"]
    name = daemon.request("GET", "/healthz").headers["Socketd-Instance"]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(daemon.socket_path)
        head = f"{request_line.format(fd=left['fd'])} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: mine"
        sock.sendall(f"{head}\r\nConnection: Upgrade\r\n{more}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += sock.recv(65536)
    lines = answer.partition(b"\r\n\r\n")[0].decode().lower().split("\r\n")
    assert lines.count(f"socketd-instance: {name}") == lines.count("x-request-id: mine") == 1, lines
    for each in (left, right):
        daemon.request("DELETE", f"/v1/sockets/{each['fd']}")
