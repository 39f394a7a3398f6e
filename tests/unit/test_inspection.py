"""The numbers shown for a socket, and who is named for an address that is in use."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from socketd import inspection
from socketd.core.address import Address
from socketd.inspection import Backlog
from tests.unit.inspected import unix_kind

if TYPE_CHECKING:
    from tests.held import Held

__all__ = ["unix_kind"]  # a fixture


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
