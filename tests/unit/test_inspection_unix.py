"""The state, addresses and queues shown for Unix sockets are those that the kernel has at that moment."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from socketd import inspection
from socketd.core.address import Address
from socketd.inspection import Backlog, View
from tests.held import specification
from tests.unit.inspected import RDWR, WR, state, unix_kind

if TYPE_CHECKING:
    from tests.held import Held

__all__ = ["unix_kind"]  # a fixture


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
