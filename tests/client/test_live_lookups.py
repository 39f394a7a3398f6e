"""The client against a real daemon: what can be asked of it, of its sockets, and of the host."""

from __future__ import annotations

import os
import re
import select
import socket
from typing import TYPE_CHECKING

import pytest

from socketd_client import ApiError, Client, Socket
from tests.client.live_parts import BOUND_S, LOOPBACK, listener, pair

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.daemon_process import DaemonProcess

__all__ = ["listener", "pair"]  # fixtures


def test_descriptor_is_where_the_handle_says(client: Client, listener: Socket, daemon: DaemonProcess):
    assert listener.pid == daemon.pid
    assert os.readlink(f"/proc/{listener.pid}/fd/{listener.fd}") == f"socket:[{listener.snapshot.inode}]"  # noqa: PTH115
    assert client.process.descriptor(listener.fd).ino == listener.snapshot.inode
    held = {one.fd: one.socket for one in client.process.descriptors() if one.socket is not None}
    assert held[listener.fd].state == "listening"
    assert str(listener.fd) in client.process.tree()
    assert client.process.info().pid == daemon.pid


def test_options_by_number_and_by_name(client: Client):
    sock = client.sockets.create(options={"SO_REUSEADDR": True})
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    assert sock.option("SO_KEEPALIVE").value is True
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\5\0\0\0")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == b"\1\0\0\0\5\0\0\0"
    assert sock.set_option("TCP_NODELAY", value=True).value is True
    assert {one.name for one in sock.options()} >= {"SO_REUSEADDR", "TCP_NODELAY"}


def test_list_pages_through_everything_and_filters(client: Client):
    made = client.sockets.create_many(25, bind=LOOPBACK, name="many")
    assert [sock.fd for sock in client.sockets.list(limit=10)] == [sock.fd for sock in made]
    assert [sock.name for sock in client.sockets.list(name="many.7")] == ["many.7"]
    assert list(client.sockets.list(state="listening")) == []
    assert len(list(client.sockets.list(family=socket.AF_INET, type="stream", state="bound", limit=7))) == 25


def test_poll_says_who_is_ready(client: Client, listener: Socket, pair: tuple[Socket, Socket]):
    assert client.poll([listener, pair[0]], 0) == []
    pair[1].send(b"x")
    assert client.poll([listener, pair[0]], BOUND_S) == [(pair[0], select.POLLIN)]
    assert client.poll([listener, pair[0]], None) == [(pair[0], select.POLLIN)]


def test_look_ups(client: Client):
    found = client.addrinfo(
        service=3490, family=socket.AF_INET, type=socket.SOCK_STREAM, flags=["AI_PASSIVE"]
    )
    assert found.results[0].address.as_tuple() == ("0.0.0.0", 3490)
    assert client.byteorder.htons(3490).result == socket.htons(3490)
    assert client.byteorder.ntohl(1).result == socket.ntohl(1)
    network = client.network("192.168.1.10", 24)
    assert (network.network, network.broadcast, network.kinds) == (
        "192.168.1.0",
        "192.168.1.255",
        ("private",),
    )
    assert client.network("fe80::1", 64).broadcast is None
    assert client.health()
    assert client.info().caller is not None


def test_kernel_view_shows_what_waits(client: Client, listener: Socket):
    with socket.create_connection(listener.getsockname(), timeout=BOUND_S) as peer:
        connection, _ = listener.accept()
        peer.sendall(b"five!")
        client.poll([connection], BOUND_S)
        view = connection.inspect()
    assert view.queues is not None
    assert view.queues.unread_bytes == 5
    assert view.tcp_info is not None
    assert "POLLIN" in view.poll


def test_token_is_asked_for_over_tcp(fresh_daemon: Callable[..., DaemonProcess]):
    process = fresh_daemon("--tcp", "127.0.0.1:0", environ={"SOCKETD_TOKEN": "secret-of-the-test"})
    process.await_log("http://127.0.0.1:")
    found = re.search(r"http://127\.0\.0\.1:[0-9]+", process.log)
    assert found is not None
    with Client(found[0]) as stranger:
        with pytest.raises(PermissionError) as caught:
            stranger.info()
        assert isinstance(caught.value, ApiError)
        assert caught.value.status == 401
        assert stranger.health()
    with Client(found[0], token="secret-of-the-test") as known:
        assert known.info().service == "socketd"
        with known.sockets.create(bind=LOOPBACK, listen=True) as listener:
            assert listener.snapshot.state == "listening"


def test_from_env_finds_the_daemon(daemon: DaemonProcess):
    with Client.from_env({"SOCKETD_URL": daemon.url}) as client:
        assert client.info().pid == daemon.pid
