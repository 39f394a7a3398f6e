"""The client against a real daemon: datagrams, their senders, and addresses of every family."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.client.live_parts import LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path

    from socketd_client import Client


@pytest.mark.parametrize(
    ("family", "address"), [("inet", LOOPBACK), ("inet6", ("::1", 0)), ("unix", b""), ("unix", "path")]
)
def test_datagrams_keep_their_bounds_and_tell_their_sender(
    client: Client, tmp_path: Path, family: str, address: Any
):
    named = str(tmp_path / "s") if address == "path" else address
    one = client.sockets.create(family=family, type="dgram")
    other = client.sockets.create(family=family, type="dgram")
    one.bind(named)
    other.bind(str(tmp_path / "o") if address == "path" else address)
    for message in (b"first", b"", b"third"):
        assert other.sendto(message, one.getsockname()) == len(message)
    assert [one.recvfrom(10) for _ in range(3)] == [
        (data, other.getsockname()) for data in (b"first", b"", b"third")
    ]
    other.connect(one.getsockname())
    other.send(b"long message")
    assert one.recv(4) == b"long"
    one.settimeout(0)
    with pytest.raises(BlockingIOError):
        one.recv(4)


def test_message_from_a_socket_without_a_name_has_no_address(client: Client, tmp_path: Path):
    path = str(tmp_path / "s")
    one = client.sockets.create(family="unix", type="dgram", bind=path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
        local.sendto(b"x", path)
    assert one.recvfrom(5)[0] == b"x"


def test_addresses_are_those_a_local_socket_has(client: Client, tmp_path: Path):
    for family, address in [
        (socket.AF_UNIX, str(tmp_path / "größe")),
        (socket.AF_UNIX, b"\0socketd-live-\xff"),
        (socket.AF_INET, ("", 0)),
        (socket.AF_INET6, ("::1", 0, 0, 0)),
        (socket.AF_NETLINK, (0, 0)),
    ]:
        sock = client.sockets.create(family=family, type=socket.SOCK_DGRAM)
        with socket.socket(family, socket.SOCK_DGRAM) as local:
            assert sock.getsockname() == local.getsockname()
        sock.bind(address)
        name: Any = sock.getsockname()
        if family == socket.AF_UNIX:
            assert name == address
        else:
            assert type(name) is tuple
            assert len(name) == len(address)
