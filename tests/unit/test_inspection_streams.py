"""The state, addresses and queues shown for TCP and MPTCP are those that the kernel has at that moment."""

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
from socketd.inspection import Backlog, View
from tests.held import specification, where
from tests.ports import free_port
from tests.unit.inspected import RD, RDWR, WR, state

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.core.entry import Entry
    from tests.held import Held

IPPROTO_MPTCP = 262


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
        connecting.connect(entry, Address(socket.AF_INET, ("127.0.0.1", free_port())), held.patience())
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
