"""The states of datagram sockets, and of families that are neither the internet's nor Unix's."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from socketd import inspection
from socketd.core.address import Address
from socketd.errors import KernelRefusedError
from socketd.inspection import Backlog, View
from tests.held import specification
from tests.unit.inspected import RD, WR, state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from socketd.core.entry import Entry
    from tests.held import Held


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
