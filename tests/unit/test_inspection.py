"""The state, addresses and queues shown for a socket are those that the kernel has at that moment."""

from __future__ import annotations

import os
import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from socketd import inspection
from socketd.core import connecting
from socketd.core.address import Address
from socketd.errors import KernelRefusedError
from socketd.inspection import STATES, Backlog, View
from tests.held import free_tcp_port, specification, where

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from socketd.core.entry import Entry
    from tests.held import Held

IPPROTO_MPTCP = 262
RD, WR, RDWR = socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR


def state(entry: Entry) -> str:
    found = View(entry).state
    assert found in STATES
    return found


def assert_becomes(expected: str, *entries: Entry) -> None:
    """Give MPTCP, whose DATA_FIN is handled by a kernel worker, the time it takes."""
    ticking = threading.Event()
    for _ in range(5000):
        if all(state(entry) == expected for entry in entries):
            return
        ticking.wait(0.001)
    assert [state(entry) for entry in entries] == [expected] * len(entries)


def reset(entry: Entry) -> None:
    """End a TCP connection with an RST."""
    entry.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
    entry.sock.close()


@pytest.fixture(params=["tcp4", "tcp6", "mptcp"])
def kind(request: pytest.FixtureRequest) -> str:
    """Name the stream sockets of the internet's families."""
    name: str = request.param
    return name


@pytest.fixture
def stream(kind: str, held: Held) -> Callable[..., Entry]:
    """Make a stream socket of one of the internet's kinds."""
    family, protocol, host = {
        "tcp4": (socket.AF_INET, 0, "127.0.0.1:{}"),
        "tcp6": (socket.AF_INET6, 0, "[::1]:{}"),
        "mptcp": (socket.AF_INET, IPPROTO_MPTCP, "127.0.0.1:{}"),
    }[kind]

    def make(*, bind: bool = False, backlog: int | None = None, connect: Entry | None = None) -> Entry:
        try:
            return held.make(
                specification(
                    family,
                    protocol=protocol,
                    bind=host.format(0) if bind else None,
                    backlog=backlog,
                    connect=None if connect is None else where(connect),
                )
            )
        except KernelRefusedError as error:
            if error.syscall == "socket":
                pytest.skip(f"this kernel has no {kind}")
            raise

    return make


@pytest.fixture
def ends(stream: Callable[..., Entry], held: Held) -> tuple[Entry, Entry]:
    """Hold both ends of a connection: who connected, and who was accepted."""
    listener = stream(bind=True, backlog=5)
    near = stream(connect=listener)
    (far,) = held.service.sockets.accept(held.call(), listener.reference, 10.0, 1, None)
    return near, far


def test_a_fresh_socket_is_created_and_has_no_address(stream: Callable[..., Entry]):
    view = View(stream())
    assert (view.state, view.local, view.peer, view.backlog) == ("created", None, None, None)


def test_a_bound_socket_is_bound(stream: Callable[..., Entry]):
    entry = stream(bind=True)
    view = View(entry)
    assert (view.state, view.peer, view.backlog) == ("bound", None, None)
    assert view.local == Address(entry.family, entry.sock.getsockname())
    assert inspection.port(view) == entry.sock.getsockname()[1]


def test_a_listener_tells_its_backlog_and_who_waits_in_it(stream: Callable[..., Entry]):
    listener = stream(bind=True, backlog=5)
    assert (state(listener), View(listener).peer) == ("listening", None)
    assert View(listener).backlog == Backlog(5, 0)
    waiting = [stream(connect=listener) for _ in range(3)]
    assert View(listener).backlog == Backlog(5, 3)
    assert len(waiting) == 3


def test_a_backlog_is_capped_by_the_kernel(stream: Callable[..., Entry]):
    with open("/proc/sys/net/core/somaxconn", encoding="ascii") as sysctl:  # noqa: PTH123
        most = int(sysctl.read())
    assert View(stream(bind=True, backlog=most + 1)).backlog == Backlog(most, 0)


def test_both_ends_of_a_connection_are_connected(ends: tuple[Entry, Entry]):
    near, far = ends
    assert (state(near), state(far)) == ("connected", "connected")
    assert View(near).local == View(far).peer
    assert View(far).local == View(near).peer
    assert View(near).backlog is None


def test_a_connection_on_its_way_is_connecting(held: Held):
    entry = held.tcp()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        with socket.create_connection(listener.getsockname()), suppress(KernelRefusedError):
            connecting.connect(entry, Address(socket.AF_INET, listener.getsockname()), held.patience(0))
        assert state(entry) == "connecting"
        assert View(entry).peer is None


def test_a_refused_connection_leaves_a_socket_as_it_was(held: Held):
    entry = held.tcp()
    with pytest.raises(KernelRefusedError):
        connecting.connect(entry, Address(socket.AF_INET, ("127.0.0.1", free_tcp_port())), held.patience())
    assert state(entry) in ("created", "bound")
    assert View(entry).peer is None


def test_after_the_peers_fin_it_is_peer_closed_and_then_closed(ends: tuple[Entry, Entry], kind: str):
    near, far = ends
    far.sock.shutdown(WR)
    assert_becomes("peer-closed", near)
    assert state(far) == ("connected" if kind == "mptcp" else "shut-write")
    near.sock.shutdown(WR)
    assert_becomes("closed", near, far)
    assert View(near).peer is None


def test_shut_for_reading_is_shut_read(ends: tuple[Entry, Entry], kind: str):
    near, far = ends
    near.sock.shutdown(RD)
    assert (state(near), state(far)) == ("peer-closed" if kind == "mptcp" else "shut-read", "connected")


def test_shut_both_ways_is_shut_until_the_peer_ends_too(ends: tuple[Entry, Entry]):
    near, far = ends
    near.sock.shutdown(RDWR)
    assert state(near) == "shut"
    assert_becomes("peer-closed", far)
    far.sock.shutdown(WR)
    assert_becomes("closed", near, far)


def test_a_shutdown_of_reading_after_one_of_writing_is_shut(ends: tuple[Entry, Entry]):
    near, _far = ends
    near.sock.shutdown(WR)
    near.sock.shutdown(RD)
    assert state(near) == "shut"


def test_a_reset_is_an_error_until_it_is_read_and_then_closed(held: Held):
    near, far = held.connection()
    duplicate = os.dup(far.fd)
    reset(far)
    far.closed = True  # it is: nothing is left for the table to close
    assert state(near) == "connected"  # a duplicate holds the connection open
    with socket.socket(fileno=duplicate) as last:
        last.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
    assert state(near) == "error"
    assert near.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) > 0
    assert (state(near), View(near).peer) == ("closed", None)


@pytest.fixture(params=[socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def unix_kind(request: pytest.FixtureRequest) -> int:
    """Name the kinds of Unix sockets that listen."""
    kind: int = request.param
    return kind


def test_a_unix_socket_from_created_to_listening(held: Held, unix_kind: int):
    assert state(held.make(specification(socket.AF_UNIX, unix_kind))) == "created"
    bound = held.make(specification(socket.AF_UNIX, unix_kind, bind="@socketd-test-bound"))
    assert (state(bound), View(bound).backlog) == ("bound", None)
    assert View(bound).local == Address(socket.AF_UNIX, b"\0socketd-test-bound")
    listener = held.make(specification(socket.AF_UNIX, unix_kind, bind="@socketd-test-inspect", backlog=5))
    assert (state(listener), View(listener).peer) == ("listening", None)
    assert View(listener).backlog == Backlog(5, 0)
    near = [held.make(specification(kind=unix_kind, connect="@socketd-test-inspect")) for _ in range(2)]
    assert View(listener).backlog == Backlog(5, 2)
    assert (state(near[0]), View(near[0]).local) == ("connected", None)
    assert inspection.port(View(listener)) is None


def test_a_unix_connection_that_the_peer_closed_is_closed(held: Held, unix_kind: int):
    near, far = held.pair(unix_kind)
    held.table.close(far)
    assert state(near) == "closed"


def test_a_unix_connection_closed_on_unread_bytes_is_an_error(held: Held, unix_kind: int):
    near, far = held.pair(unix_kind)
    near.sock.send(b"never read")
    held.table.close(far)
    assert state(near) == "error"
    assert near.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) > 0
    assert state(near) == "closed"


def test_a_unix_stream_by_the_directions_that_are_shut(held: Held):
    near, far = held.pair()
    far.sock.shutdown(WR)
    assert (state(near), state(far)) == ("peer-closed", "shut-write")
    near.sock.shutdown(WR)
    assert (state(near), state(far)) == ("closed", "closed")


def test_asking_for_the_state_sends_nothing(held: Held):
    near, far = held.pair(socket.SOCK_SEQPACKET)
    assert state(near) == state(far) == "connected"
    with pytest.raises(BlockingIOError):
        far.sock.recv(1, socket.MSG_DONTWAIT)


def test_a_unix_seqpacket_socket_by_its_reading_side(held: Held):
    near, far = held.pair(socket.SOCK_SEQPACKET)
    far.sock.shutdown(WR)
    assert state(near) == "peer-closed"
    near.sock.shutdown(RDWR)
    assert state(near) == "closed"


@pytest.fixture(params=["udp", "unix"])
def datagrams(request: pytest.FixtureRequest, held: Held) -> Iterator[tuple[Entry, Address]]:
    """Make a fresh datagram socket, and an address to bind it to, with another one to connect to."""
    family = socket.AF_INET if request.param == "udp" else socket.AF_UNIX
    entry = held.make(specification(family, socket.SOCK_DGRAM))
    bound = Address(family, ("127.0.0.1", 0) if family == socket.AF_INET else b"\0socketd-test-dgram")
    return entry, bound


def test_a_datagram_socket_through_its_states(datagrams: tuple[Entry, Address], held: Held):
    entry, bound = datagrams
    assert state(entry) == "created"
    entry.sock.bind(bound.sockaddr)
    assert state(entry) == "bound"
    other = held.make(specification(entry.family, socket.SOCK_DGRAM))
    other.sock.bind(("127.0.0.1", 0) if entry.family == socket.AF_INET else b"\0socketd-test-other")
    entry.sock.connect(other.sock.getsockname())
    assert state(entry) == "connected"
    assert View(entry).peer == View(other).local
    entry.sock.shutdown(RD)
    assert state(entry) == "shut-read"
    entry.sock.shutdown(WR)
    assert state(entry) == "shut"


def test_a_datagram_that_found_nobody_is_an_error_until_it_is_read(held: Held):
    entry, other = held.udp(), held.udp()
    entry.sock.connect(other.sock.getsockname())
    held.table.close(other)
    entry.sock.send(b"to nobody")
    assert state(entry) == "error"
    entry.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    assert state(entry) == "connected"


def test_a_netlink_socket_is_created_and_then_bound(held: Held):
    entry = held.make(specification(socket.AF_NETLINK, socket.SOCK_RAW))
    assert (state(entry), View(entry).local, View(entry).peer) == ("created", None, None)
    entry.sock.bind((0, 1))
    assert state(entry) == "bound"
    assert View(entry).local == Address(socket.AF_NETLINK, entry.sock.getsockname())


@pytest.fixture
def raw(held: Held) -> Callable[[int, int], Entry]:
    """Make a raw socket, where we may."""

    def make(family: int, protocol: int) -> Entry:
        try:
            return held.make(specification(family, socket.SOCK_RAW, protocol))
        except KernelRefusedError as error:
            if error.symbol != "EPERM":
                raise
            pytest.skip("needs CAP_NET_RAW")

    return make


def test_a_raw_sockets_protocol_is_not_taken_for_a_port(raw: Callable[[int, int], Entry]):
    entry = raw(socket.AF_INET, socket.IPPROTO_ICMP)
    assert entry.sock.getsockname()[1] == socket.IPPROTO_ICMP
    assert state(entry) == "created"
    entry.sock.bind(("127.0.0.1", 0))
    assert (state(entry), inspection.port(View(entry))) == ("bound", None)


def test_a_packet_socket_is_bound_to_its_interface(raw: Callable[[int, int], Entry]):
    entry = raw(socket.AF_PACKET, 0)
    assert state(entry) == "created"
    entry.sock.bind(("lo", 3))
    assert state(entry) == "bound"


def test_a_vsock_socket_through_its_states(held: Held):
    try:
        entry = held.make(specification(socket.AF_VSOCK))
    except KernelRefusedError:
        pytest.skip("this kernel has no vsock")
    assert state(entry) == "created"
    entry.sock.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
    assert state(entry) == "bound"
    entry.sock.listen(5)
    assert (state(entry), View(entry).backlog) == ("listening", Backlog(None, None))
    assert inspection.port(View(entry)) == entry.sock.getsockname()[1]


def test_info_has_the_numbers_of_every_family(held: Held, unix_kind: int):
    near, far = held.pair(unix_kind)
    far.sock.send(b"12345")
    unix, udp, tcp = (inspection.info(each) for each in (near, held.udp(), held.listener(7)))
    assert (unix.state, unix.queues.unread_bytes, unix.tcp_info) == ("connected", 5, None)
    assert (udp.state, udp.backlog, udp.memory.drops, udp.mark) == ("bound", None, 0, 0)
    assert tcp.backlog == Backlog(7, 0)
    assert tcp.tcp_info is not None
    assert tcp.tcp_info.state_name.lower() == "listen"


@pytest.mark.parametrize("address", [None, Address(socket.AF_UNIX, "/run/x.sock"), Address(1, b"\0x")])
def test_nobody_is_named_for_an_address_without_port(address: Address | None):
    assert inspection.holder_hint(address, socket.SOCK_STREAM, 0) is None


def test_nobody_is_named_for_a_protocol_without_diagnosis():
    nowhere = Address(socket.AF_INET, ("127.0.0.1", 1))
    assert inspection.holder_hint(nowhere, socket.SOCK_RAW, 254) is None


@pytest.mark.parametrize("protocol", [0, socket.IPPROTO_TCP])
def test_the_holder_of_a_port_is_named(held: Held, protocol: int):
    listener = held.listener()
    address = Address(socket.AF_INET, listener.sock.getsockname())
    hint = inspection.holder_hint(address, socket.SOCK_STREAM, protocol)
    assert hint == f"it is held by a socket of uid {os.getuid()} (inode {listener.inode})"
