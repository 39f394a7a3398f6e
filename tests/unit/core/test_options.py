"""Options set are options read on real sockets, and what cannot be meant never reaches the kernel."""

from __future__ import annotations

import _socket
import os
import socket
import struct

import pytest

from socketd.core.options import Kind, applicable, get_number, get_option, lookup, set_option
from socketd.errors import InvalidRequestError, KernelRefusedError


def test_unknown_pair_of_numbers_is_an_int_for_the_kernel_to_judge():
    option = lookup("1:9999")
    assert (option.name, option.kind, option.level, option.number) == ("1:9999", Kind.INT, 1, 9999)
    with socket.socket() as sock, pytest.raises(KernelRefusedError) as caught:
        get_option(sock, option)
    assert (caught.value.symbol, caught.value.syscall) == ("ENOPROTOOPT", "getsockopt")


@pytest.mark.parametrize("name", ["SO_TYPE", "SO_ERROR", "TCP_INFO", "SO_COOKIE"])
def test_setting_what_can_only_be_read_is_enoprotoopt(name):
    with socket.socket() as sock, pytest.raises(InvalidRequestError) as caught:
        set_option(sock, lookup(name), 1)
    assert caught.value.symbol == "ENOPROTOOPT"


def test_reading_what_can_only_be_set_is_enoprotoopt():
    with socket.socket() as sock, pytest.raises(InvalidRequestError) as caught:
        get_option(sock, lookup("IP_ADD_MEMBERSHIP"))
    assert caught.value.symbol == "ENOPROTOOPT"


def test_number_is_the_kernels_of_any_family():
    with socket.socket() as sock:
        assert get_number(sock, "SO_RCVBUF") == sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        # Of vsock sockets CPython reads numbers of 64 bits, where the kernel writes 32: -1 is 2**32 - 1 then.
        claimed = _socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM, 0, sock.fileno())
        try:
            assert get_number(claimed, "SO_INCOMING_CPU") == -1
        finally:
            claimed.detach()


@pytest.mark.parametrize("length", [0, -1, 1025, True, "4"])
def test_length_is_from_1_to_1024(length):
    with socket.socket() as sock, pytest.raises(InvalidRequestError) as caught:
        get_option(sock, lookup("TCP_INFO"), length)
    assert caught.value.member == "length"


def test_option_of_another_protocol_is_refused_with_its_owner():
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(KernelRefusedError) as caught:
        set_option(sock, lookup("TCP_NODELAY"), value=True)
    assert "TCP sockets" in caught.value.hint


def test_unknown_congestion_control_is_refused_with_where_to_look():
    with socket.socket() as sock, pytest.raises(KernelRefusedError) as caught:
        set_option(sock, lookup("TCP_CONGESTION"), "nonsense")
    assert (caught.value.symbol, caught.value.syscall) == ("ENOENT", "setsockopt")
    assert "tcp_available_congestion_control" in caught.value.hint


def test_closed_socket_is_ebadf():
    sock = socket.socket()
    sock.close()
    with pytest.raises(KernelRefusedError) as caught:
        get_option(sock, lookup("SO_TYPE"))
    assert caught.value.symbol == "EBADF"


@pytest.mark.parametrize(
    ("family", "type_", "name", "value"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, "SO_REUSEADDR", True),
        (socket.AF_INET, socket.SOCK_STREAM, "TCP_KEEPIDLE", 77),
        (socket.AF_INET, socket.SOCK_STREAM, "TCP_NOTSENT_LOWAT", 2**32 - 2),
        (socket.AF_INET, socket.SOCK_STREAM, "SO_LINGER", {"enabled": True, "seconds": 3}),
        (socket.AF_INET, socket.SOCK_STREAM, "SO_RCVTIMEO", 2.5),
        (socket.AF_INET, socket.SOCK_STREAM, "SO_SNDTIMEO", 0.0),
        (socket.AF_INET, socket.SOCK_STREAM, "SO_MAX_PACING_RATE", 10**10),
        (socket.AF_INET, socket.SOCK_STREAM, "TCP_CONGESTION", "reno"),
        (socket.AF_INET, socket.SOCK_STREAM, "IP_LOCAL_PORT_RANGE", {"low": 40_000, "high": 40_100}),
        (socket.AF_INET, socket.SOCK_DGRAM, "SO_BINDTODEVICE", "lo"),
        (socket.AF_INET, socket.SOCK_DGRAM, "IP_TTL", 7),
        (socket.AF_INET, socket.SOCK_DGRAM, "IP_MULTICAST_IF", "127.0.0.1"),
        (socket.AF_INET, socket.SOCK_DGRAM, "IP_UNICAST_IF", 1),
        (socket.AF_INET, socket.SOCK_DGRAM, "UDP_SEGMENT", 1200),
        (socket.AF_INET6, socket.SOCK_DGRAM, "IPV6_V6ONLY", True),
        (socket.AF_INET6, socket.SOCK_DGRAM, "IPV6_MULTICAST_IF", 1),
        (socket.AF_INET6, socket.SOCK_DGRAM, "IPV6_UNICAST_IF", 1),
        (socket.AF_UNIX, socket.SOCK_DGRAM, "SO_PASSCRED", True),
        (socket.AF_UNIX, socket.SOCK_DGRAM, "SO_PEEK_OFF", -1),
        (socket.AF_NETLINK, socket.SOCK_RAW, "NETLINK_EXT_ACK", True),
    ],
)
def test_value_set_is_the_value_read(family, type_, name, value):
    with socket.socket(family, type_) as sock:
        set_option(sock, lookup(name), value)
        read = get_option(sock, lookup(name))
    assert read == value
    assert type(read) is type(value)


def test_raw_bytes_go_in_and_come_out_as_they_are():
    with socket.socket() as sock:
        set_option(sock, lookup("6:1"), struct.pack("=i", 1))
        assert get_option(sock, lookup("TCP_NODELAY"), 4) == struct.pack("=i", 1)
        assert len(get_option(sock, lookup("TCP_INFO"))) >= 104


def test_peer_credentials_are_ours_over_a_pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        credentials = get_option(ours, lookup("SO_PEERCRED"))
        groups = get_option(ours, lookup("SO_PEERGROUPS"))
    assert credentials == {"pid": os.getpid(), "uid": os.geteuid(), "gid": os.getegid()}
    assert sorted(groups) == sorted(os.getgroups())


def test_cookie_and_memory_are_what_the_kernel_says():
    with socket.socket() as sock:
        assert get_option(sock, lookup("SO_COOKIE")) == struct.unpack("=Q", sock.getsockopt(1, 57, 8))[0]
        assert get_option(sock, lookup("SO_MEMINFO"))["rcvbuf_bytes"] == sock.getsockopt(1, socket.SO_RCVBUF)


def test_joined_ipv4_group_is_heard_on_loopback():
    with (
        socket.socket(type=socket.SOCK_DGRAM) as hearer,
        socket.socket(type=socket.SOCK_DGRAM) as speaker,
    ):
        hearer.bind(("", 0))
        hearer.settimeout(10)
        set_option(hearer, lookup("IP_ADD_MEMBERSHIP"), {"group": "239.195.7.9", "interface": "lo"})
        set_option(speaker, lookup("IP_MULTICAST_IF"), {"interface": "lo"})
        speaker.sendto(b"hello", ("239.195.7.9", hearer.getsockname()[1]))
        assert hearer.recv(10) == b"hello"
        set_option(hearer, lookup("IP_DROP_MEMBERSHIP"), {"group": "239.195.7.9", "interface": "lo"})
        with pytest.raises(KernelRefusedError) as caught:
            set_option(hearer, lookup("IP_DROP_MEMBERSHIP"), {"group": "239.195.7.9", "interface": "lo"})
    assert caught.value.symbol == "EADDRNOTAVAIL"


def test_groups_are_joined_and_left_by_every_structure_there_is():
    source = {"group": "239.195.7.9", "source": "127.0.0.1"}
    calls = [
        (socket.AF_INET, "IP_ADD_SOURCE_MEMBERSHIP", {**source, "address": "127.0.0.1"}),
        (socket.AF_INET, "IP_DROP_SOURCE_MEMBERSHIP", {**source, "address": "127.0.0.1"}),
        (socket.AF_INET, "MCAST_JOIN_GROUP", {"group": "239.195.7.9", "interface": "lo"}),
        (socket.AF_INET, "MCAST_LEAVE_GROUP", {"group": "239.195.7.9", "interface": "lo"}),
        (socket.AF_INET, "MCAST_JOIN_SOURCE_GROUP", {**source, "interface": "lo"}),
        (socket.AF_INET, "MCAST_LEAVE_SOURCE_GROUP", {**source, "interface": "lo"}),
        (socket.AF_INET6, "IPV6_JOIN_GROUP", {"group": "ff02::7:9", "interface": "lo"}),
        (socket.AF_INET6, "IPV6_LEAVE_GROUP", {"group": "ff02::7:9", "interface": "lo"}),
        (socket.AF_INET6, "IPV6_MCAST_JOIN_GROUP", {"group": "ff02::7:9", "interface": "lo"}),
        (socket.AF_INET6, "IPV6_MCAST_LEAVE_GROUP", {"group": "ff02::7:9", "interface": "lo"}),
        (socket.AF_INET6, "IPV6_PKTINFO", {"address": "::1", "interface": "lo"}),
    ]
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inet,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as inet6,
    ):
        for family, name, value in calls:
            set_option(inet if family == socket.AF_INET else inet6, lookup(name), value)


@pytest.mark.parametrize(
    ("family", "type_", "protocol"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, 0),
        (socket.AF_INET, socket.SOCK_STREAM, 262),
        (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP),
        (socket.AF_INET, socket.SOCK_DGRAM, 0),
        (socket.AF_INET6, socket.SOCK_DGRAM, 136),
        (socket.AF_UNIX, socket.SOCK_STREAM, 0),
        (socket.AF_NETLINK, socket.SOCK_RAW, 0),
    ],
)
def test_what_is_applicable_the_kernel_answers(family, type_, protocol):
    refused = set()
    with socket.socket(family, type_, protocol) as sock:
        for option in applicable(family, type_, protocol):
            try:
                get_option(sock, option)
            except KernelRefusedError as error:
                refused.add((option.name, error.symbol))
    # net/mptcp/sockopt.c passes on a chosen few; elsewhere a refusal waits for a state or another kernel.
    offered = len(applicable(family, type_, protocol))
    assert len(refused) < offered / (2 if protocol == 262 else 4)
    assert offered > 40
    assert not {"EBADF", "EFAULT", "EDOM", "EPERM"} & {symbol for _, symbol in refused}


@pytest.mark.parametrize("name", ["SO_ERROR", "TCP_SAVED_SYN", "TCP_FASTOPEN_KEY", "SO_PEERCRED"])
def test_listing_a_tcp_socket_leaves_out(name):
    assert name not in {option.name for option in applicable(socket.AF_INET, socket.SOCK_STREAM, 0)}


def test_credentials_are_listed_of_a_unix_socket():
    assert "SO_PEERCRED" in {option.name for option in applicable(socket.AF_UNIX, socket.SOCK_STREAM, 0)}


def _can_open(family, type_):
    try:
        socket.socket(family, type_).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _can_open(socket.AF_VSOCK, socket.SOCK_STREAM), reason="this kernel has no vsock")
def test_vsock_options_of_every_size_are_read_and_set():
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as sock:
        set_option(sock, lookup("SO_VM_SOCKETS_BUFFER_SIZE"), 128 * 1024)
        assert get_option(sock, lookup("SO_VM_SOCKETS_BUFFER_SIZE")) == 128 * 1024
        set_option(sock, lookup("SO_LINGER"), {"enabled": True, "seconds": 2})
        assert get_option(sock, lookup("SO_LINGER")) == {"enabled": True, "seconds": 2}
        set_option(sock, lookup("SO_VM_SOCKETS_CONNECT_TIMEOUT"), 3.5)
        assert get_option(sock, lookup("SO_VM_SOCKETS_CONNECT_TIMEOUT")) == pytest.approx(3.5, abs=0.01)
        with pytest.raises(KernelRefusedError):
            get_option(sock, lookup("TCP_NODELAY"))
        assert sock.fileno() >= 0


@pytest.mark.skipif(not _can_open(socket.AF_PACKET, socket.SOCK_RAW), reason="needs CAP_NET_RAW")
def test_packet_options_are_read_and_set():
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        set_option(sock, lookup("PACKET_AUXDATA"), value=True)
        assert get_option(sock, lookup("PACKET_AUXDATA")) is True
        membership = {"interface": "lo", "type": "multicast", "address": "01:00:5e:00:00:01"}
        set_option(sock, lookup("PACKET_ADD_MEMBERSHIP"), membership)
        set_option(sock, lookup("PACKET_DROP_MEMBERSHIP"), membership)
        assert set(get_option(sock, lookup("PACKET_STATISTICS"))) == {"packets", "drops"}
