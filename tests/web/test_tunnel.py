"""``POST …/tunnel``: what is refused before the 101, and the connection as it is afterwards."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon_process import DaemonProcess

UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}
WEBSOCKET = {
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    "headers", [{}, {"Upgrade": "tcp"}, {"Connection": "Upgrade"}, {**UPGRADE, "Upgrade": "websocket"}]
)
def test_request_that_does_not_ask_for_it_is_426(web, headers):
    left, _ = web.pair()
    answer = web.ask("POST", f"/v1/sockets/{left}/tunnel", headers=headers)
    assert (answer.status_code, answer.headers["Upgrade"]) == (426, "tcp")
    answer = web.ask("GET", f"/v1/sockets/{left}/tunnel")
    assert (answer.status_code, answer.headers["Upgrade"]) == (426, "websocket")


@pytest.mark.parametrize(("method", "headers"), [("POST", UPGRADE), ("GET", WEBSOCKET)])
def test_what_cannot_be_tunnelled_is_refused_as_over_http(web, method, headers):
    fresh = web.create()["fd"]
    left, _ = web.pair()
    path = f"/v1/sockets/{left}/tunnel"
    assert web.refused(method, f"/v1/sockets/{fresh}/tunnel", headers=headers) == (409, "ENOTCONN")
    assert web.refused(method, "/v1/sockets/nobody/tunnel", headers=headers) == (404, "EBADF")
    assert web.refused(method, path, headers={**headers, "If-Match": '"1"'}) == (412, "ESTALE")
    assert web.refused(method, path, b"early", headers=headers) == (422, "EINVAL")
    web.service.table.find(left).forwarded = True
    assert web.refused(method, path, headers=headers) == (409, "EBUSY")


def test_messages_have_no_place_in_a_tunnel_of_bytes(web):
    left, _ = web.pair("seqpacket")
    answer = web.ask("POST", f"/v1/sockets/{left}/tunnel", headers=UPGRADE)
    assert (answer.status_code, answer.json["errno"]) == (422, "EOPNOTSUPP")
    assert "websocket" in answer.json["hint"]


@pytest.mark.parametrize(
    "wrong", [{"Sec-WebSocket-Key": "short"}, {"Sec-WebSocket-Key": ""}, {"Sec-WebSocket-Version": ""}]
)
def test_handshake_that_is_none_is_refused(web, wrong):
    left, _ = web.pair()
    answer = web.ask("GET", f"/v1/sockets/{left}/tunnel", headers={**WEBSOCKET, **wrong})
    assert answer.status_code in (422, 426)


@contextmanager
def opened(daemon: DaemonProcess, fd: int, early: bytes = b"", **headers: str) -> Iterator[socket.socket]:
    """Open a tunnel by hand, and read its 101."""
    lines = [f"POST /v1/sockets/{fd}/tunnel HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in {**UPGRADE, **headers}.items()]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(daemon.socket_path)
        sock.sendall("\r\n".join((*lines, "", "")).encode() + early)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"\r\nUpgrade: tcp\r\n" in head
        yield sock


@pytest.fixture
def peer(daemon) -> Iterator[tuple[int, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        fd = daemon.request("POST", "/v1/sockets", {"connect": address}).json()["fd"]
        far, _ = server.accept()
    with far:
        far.settimeout(30)
        yield fd, far
    daemon.request("DELETE", f"/v1/sockets/{fd}")


def test_bytes_that_came_with_the_request_go_first(daemon, peer):
    fd, far = peer
    early = b"early " * 1000  # more than HTTP's reader takes at once
    with opened(daemon, fd, early) as tunnel:
        tunnel.sendall(b"late")
        tunnel.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: far.recv(1 << 16), b"")) == early + b"late"


def test_426_names_the_protocol_on_the_wire(daemon, peer):
    fd, _ = peer
    done = daemon.curl("-i", "-X", "POST", f"http://localhost/v1/sockets/{fd}/tunnel").stdout
    assert done.startswith("HTTP/1.1 426 ")
    assert "Upgrade: tcp\n" in done.replace("\r\n", "\n")


def test_tunnel_can_be_opened_again_with_the_same_key_when_it_has_ended(daemon, peer):
    fd, far = peer
    for word in (b"one", b"two"):
        with opened(daemon, fd, **{"Idempotency-Key": "a"}) as tunnel:
            tunnel.sendall(word)
            assert far.recv(10) == word


def test_its_begin_and_its_end_are_events(daemon, peer):
    fd, far = peer
    with opened(daemon, fd) as tunnel:
        far.shutdown(socket.SHUT_WR)
        assert tunnel.recv(1) == b""
        tunnel.shutdown(socket.SHUT_WR)
        assert far.recv(1) == b""
        assert tunnel.recv(1) == b""
    lines = daemon.request("GET", "/v1/events?after=0&timeout=0").body.decode()
    found = [word for word in ("tunnel_opened", "tunnel_closed") if f'"{word}"' in lines]
    assert found == ["tunnel_opened", "tunnel_closed"]


def test_tunnel_is_a_wait_and_refused_before_the_101_where_there_are_too_many(fresh_daemon):
    daemon = fresh_daemon("--max-waits", "1")
    made = daemon.request("POST", "/v1/socketpairs", {"type": "stream"}).json()["sockets"]
    left, right = (each["fd"] for each in made)
    with opened(daemon, left) as tunnel:
        answer = daemon.request("POST", f"/v1/sockets/{right}/tunnel", headers=UPGRADE)
        assert (answer.status, answer.json()["code"]) == (429, "too_many_waits")
        tunnel.sendall(b"x")
        tunnel.shutdown(socket.SHUT_WR)
        assert daemon.request("POST", f"/v1/sockets/{right}/shutdown", {"how": "SHUT_WR"}).status == 200
        assert tunnel.recv(1) == b""
    answer = daemon.request("POST", f"/v1/sockets/{right}/recv", {"timeout": 0, "size": 10})
    assert answer.body == b"x"
