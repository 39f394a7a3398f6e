"""Families and protocols beyond plain TCP and UDP, each until something came through it."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from socketd_client import Client
from tests.system.asking import closing_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon_process import DaemonProcess

BOUND_S = 30.0
GROUP = "239.255.34.90"
IPPROTO_MPTCP = 262
ETH_P_ALL = 3
VMADDR_CID_LOCAL = 1
PROBE = b"a probe of the packet test"
as_root = pytest.mark.skipif(os.getuid() != 0, reason="raw sockets need CAP_NET_RAW")


@pytest.fixture
def client(daemon: DaemonProcess) -> Iterator[Client]:
    """Close what a test made: the daemon is the module's."""
    with Client(daemon.url) as client, closing_all(client):
        yield client


def datagram(client: Client, address: tuple[str, int]):
    sock = client.sockets.create(type="dgram", bind=address)
    sock.settimeout(BOUND_S)
    return sock


def exchange(near, far) -> None:
    """Send both ways over a connection."""
    near.settimeout(BOUND_S)
    far.settimeout(BOUND_S)
    near.sendall(b"ping")
    assert far.recv(10) == b"ping"
    far.sendall(b"pong")
    assert near.recv(10) == b"pong"


def test_multicast_reaches_every_member(client):
    shared = {"SO_REUSEADDR": True}
    first = client.sockets.create(type="dgram", options=shared, bind=("0.0.0.0", 0))
    port = first.getsockname()[1]
    members = [first, client.sockets.create(type="dgram", options=shared, bind=("0.0.0.0", port))]
    request = socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1")
    for member in members:
        member.settimeout(BOUND_S)
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    sender = datagram(client, ("127.0.0.1", 0))
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    sender.sendto(b"to all", (GROUP, port))
    for member in members:
        assert member.recvfrom(100) == (b"to all", sender.getsockname())


def test_broadcast_needs_its_option_and_then_arrives(client):
    receiver = datagram(client, ("0.0.0.0", 0))
    sender = datagram(client, ("127.0.0.1", 0))
    everybody = ("127.255.255.255", receiver.getsockname()[1])
    with pytest.raises(PermissionError) as caught:
        sender.sendto(b"x", everybody)
    assert "SO_BROADCAST" in caught.value.hint
    sender.set_option("SO_BROADCAST", 1)
    sender.sendto(b"to all", everybody)
    assert receiver.recvfrom(100) == (b"to all", sender.getsockname())


def test_netlink_lists_the_loopback_interface(client):
    rtm_getlink, nlm_request_dump, nlmsg_done = 18, 0x301, 3
    sock = client.sockets.create(family="netlink", type="raw", protocol="route", bind={"pid": 0})
    sock.settimeout(BOUND_S)
    sock.send(struct.pack("=IHHIIBxHiII", 32, rtm_getlink, nlm_request_dump, 7, 0, 0, 0, 0, 0, 0))
    answer = b""
    while struct.pack("=HHI", nlmsg_done, 2, 7) not in answer:
        part, sender = sock.recvfrom(65536)
        assert sender[0] == 0  # the kernel
        answer += part
    assert b"lo\0" in answer


@as_root
def test_packet_socket_sees_the_loopback(client):
    sock = client.sockets.create(
        family="packet",
        type="dgram",
        protocol=socket.htons(ETH_P_ALL),
        bind={"interface": "lo", "protocol": ETH_P_ALL},
    )
    sock.settimeout(BOUND_S)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.sendto(PROBE, ("127.0.0.1", 9))
        while True:
            data, sender = sock.recvfrom(65536)
            if data.endswith(PROBE):
                break
    assert sender[0] == "lo"
    assert data[0] >> 4 == 4


@as_root
def test_raw_icmp_echo_is_answered(client):
    sock = client.sockets.create(type="raw", protocol="icmp")
    sock.settimeout(BOUND_S)
    identifier = os.getpid() & 0xFFFF
    echo = struct.pack("!BBHHH", 8, 0, 0, identifier, 1) + b"payload."
    words = struct.unpack(f"!{len(echo) // 2}H", echo)
    total = sum(words)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    sock.sendto(echo[:2] + struct.pack("!H", checksum) + echo[4:], ("127.0.0.1", 0))
    while True:
        packet, (host, _) = sock.recvfrom(2048)
        kind, _, _, answered, number = struct.unpack("!BBHHH", packet[20:28])
        if (kind, answered) == (0, identifier):
            break
    assert (host, number, packet[28:]) == ("127.0.0.1", 1, b"payload.")


def test_ipv6_listener_takes_ipv4_unless_v6only(client):
    both = client.sockets.create(bind=("::", 0), options={"IPV6_V6ONLY": False}, listen=True)
    both.settimeout(BOUND_S)
    near = client.sockets.create(connect=("127.0.0.1", both.getsockname()[1]))
    far, address = both.accept()
    assert address[0] == "::ffff:127.0.0.1"
    exchange(near, far)
    only = client.sockets.create(bind=("::", 0), options={"IPV6_V6ONLY": True}, listen=True)
    with pytest.raises(ConnectionRefusedError):
        client.sockets.create(connect=("127.0.0.1", only.getsockname()[1]))


def link_local() -> tuple[str, int] | None:
    """Find a link-local address of this host and the index of its interface."""
    for line in Path("/proc/net/if_inet6").read_text().splitlines():
        raw, index, _, scope, *_ = line.split()
        if scope == "20":
            return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(raw)), int(index, 16)
    return None


def test_link_local_address_has_its_scope(client):
    found = link_local()
    if found is None:
        pytest.skip("no interface of this host has a link-local address")
    host, index = found
    listener = client.sockets.create(bind=(host, 0, 0, index), listen=True)
    listener.settimeout(BOUND_S)
    assert listener.getsockname()[3] == index
    port = listener.getsockname()[1]
    near = client.sockets.create(connect=f"[{host}%{socket.if_indextoname(index)}]:{port}")
    far, address = listener.accept()
    assert address[3] == index
    exchange(near, far)


def test_mptcp_carries_bytes(client):
    if Path("/proc/sys/net/mptcp/enabled").read_text().strip() != "1":
        pytest.skip("net.mptcp.enabled is 0")
    listener = client.sockets.create(protocol="mptcp", bind=("127.0.0.1", 0), listen=True)
    listener.settimeout(BOUND_S)
    near = client.sockets.create(protocol="mptcp", connect=listener.getsockname())
    far, _ = listener.accept()
    assert (near.snapshot.protocol, far.proto) == ("mptcp", IPPROTO_MPTCP)
    exchange(near, far)


def plain_vsock_outcome(port):
    """What a plain socket is told that connects to this host: 0, or an errno where the kernel lacks vsock."""
    try:
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as plain:
            return plain.connect_ex((VMADDR_CID_LOCAL, port))
    except OSError as error:
        return error.errno


def test_vsock_reaches_its_own_host_as_far_as_plain_sockets_do(client):
    try:
        listener = client.sockets.create(family="vsock", bind=(0xFFFFFFFF, 0xFFFFFFFF), listen=True)
    except OSError as error:
        refusal = error.errno
    else:
        refusal = 0
    if refusal:  # the kernel has no vsock at all
        assert refusal == plain_vsock_outcome(1)
        return
    listener.settimeout(BOUND_S)
    port = listener.getsockname()[1]
    expected = plain_vsock_outcome(port)
    near = client.sockets.create(family="vsock")
    assert near.connect_ex((VMADDR_CID_LOCAL, port)) == expected
    if expected:  # the kernel has no vsock_loopback
        return
    with closing(listener.accept()[0]):  # the plain one
        far, address = listener.accept()
    assert address[0] == VMADDR_CID_LOCAL
    exchange(near, far)


@pytest.mark.parametrize("kind", ["stream", "dgram", "seqpacket"])
@pytest.mark.parametrize("address", ["path", "abstract"])
def test_unix_sockets_of_python_and_the_daemon_talk(client, tmp_path_factory, kind, address):
    path = (
        str(tmp_path_factory.mktemp("u") / "s") if address == "path" else f"\0families-{os.getpid()}-{kind}"
    )
    held = client.sockets.create(family="unix", type=kind)
    held.settimeout(BOUND_S)
    held.bind(path)
    with socket.socket(socket.AF_UNIX, getattr(socket, f"SOCK_{kind.upper()}")) as local:
        local.settimeout(BOUND_S)
        if kind == "dgram":
            local.bind("")  # autobind: a name that can be answered to
            local.connect(path)
            local.send(b"ping")
            data, sender = held.recvfrom(10)
            assert (data, sender) == (b"ping", local.getsockname())
            held.sendto(b"pong", sender)
            assert local.recv(10) == b"pong"
        else:
            held.listen()
            local.connect(path)
            exchange(local, held.accept()[0])
