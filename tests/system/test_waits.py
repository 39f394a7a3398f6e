"""Many requests wait in a real daemon, and harm neither each other nor those that do not wait."""

from __future__ import annotations

import array
import fcntl
import http.client
import json
import resource
import socket
import sys
import termios
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.soak import IS_SOAK
from tests.system import hogs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon_process import DaemonProcess

WAITS = min(10_000, hogs.MOST_CONNECTIONS) if IS_SOAK else 2_000
ACCEPT = (
    b"POST /v1/sockets/%s/accept HTTP/1.1\r\nHost: x\r\n"
    b'Content-Type: application/json\r\nContent-Length: 15\r\n\r\n{"timeout": 60}'
)


@pytest.fixture
def connections() -> Iterator[list[socket.socket]]:
    """Room for many connections of ours, closed at the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, WAITS + 1000), hard))
    opened: list[socket.socket] = []
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def begin_accept(daemon: DaemonProcess, name: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(daemon.socket_path)
        connection.sendall(ACCEPT % name.encode())
    except BaseException:
        connection.close()
        raise
    return connection


def answer(connection: socket.socket) -> tuple[int, Any]:
    """Read one whole answer; return its status and decoded body."""
    with http.client.HTTPResponse(connection) as response:
        response.begin()
        return response.status, json.loads(response.read())


def rss_bytes(daemon: DaemonProcess) -> int:
    return int(daemon.request("GET", "/v1/process").json()["rss_bytes"])


def create_listener(daemon: DaemonProcess, name: str) -> tuple[str, int]:
    made = daemon.request(
        "POST",
        "/v1/sockets",
        {"name": name, "bind": {"host": "127.0.0.1", "port": 0}, "listen": {"backlog": 4096}},
    )
    assert made.status == 201, made.body
    local = made.json()["local"]
    return local["host"], local["port"]


def await_reading(daemon: DaemonProcess, connections: list[socket.socket]) -> None:
    """Block until the daemon has read every request, and answers others: so all of them wait."""
    deadline = time.monotonic() + 60
    while not all(map(is_read, connections)):
        assert time.monotonic() < deadline
        daemon.request("GET", "/healthz")
    daemon.request("GET", "/healthz")


def is_read(connection: socket.socket) -> bool:
    unread = array.array("i", [0])
    fcntl.ioctl(connection, termios.TIOCOUTQ, unread)
    return unread[0] == 0


def test_thousands_wait_while_others_are_answered(fresh_daemon, connections, capsys):
    daemon = fresh_daemon()
    address = create_listener(daemon, "web")
    for _ in range(10):  # what the first requests cost once
        daemon.request("GET", "/v1/process")
    before = rss_bytes(daemon)
    connections.extend(begin_accept(daemon, "web") for _ in range(WAITS))
    await_reading(daemon, connections)
    each = (rss_bytes(daemon) - before) / WAITS / 1024
    with capsys.disabled():
        sys.stdout.write(f"\n{WAITS} waiting accepts: {each:.1f} KiB each\n")
    assert daemon.request("GET", "/v1/sockets").status == 200

    with socket.create_connection(address) as peer:
        status, body = answer(connections[0])
        assert status == 201
        assert body["sockets"][0]["peer"]["port"] == peer.getsockname()[1]

    for connection in connections[1 : WAITS // 2]:
        connection.close()  # they left: what arrives is for those who are still there
    with socket.create_connection(address):
        assert answer(connections[WAITS // 2])[0] == 201
    daemon.stop()
    assert answer(connections[-1])[0] == 503


def test_one_wait_too_many_is_429_and_the_others_wait_on(fresh_daemon, connections):
    daemon = fresh_daemon("--max-waits", "1")
    address = create_listener(daemon, "web")
    connections.append(begin_accept(daemon, "web"))
    await_reading(daemon, connections)
    refused = daemon.request("POST", "/v1/sockets/web/accept", {"timeout": 60})
    assert refused.status == 429
    assert refused.json()["code"] == "too_many_waits"
    assert int(refused.headers["Retry-After"]) > 0
    with socket.create_connection(address):
        assert answer(connections[0])[0] == 201
