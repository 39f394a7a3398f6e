"""The table keeps numbers and names unique, and loses no descriptor on any way that fails."""

from __future__ import annotations

import _socket
import os
import resource
import socket
import struct

import pytest

from socketd.core.numbers import Numbers
from socketd.core.owner import Owner
from socketd.core.table import Origin, SocketTable
from socketd.errors import (
    ClosedMeanwhileError,
    NameTakenError,
    OutOfDescriptorsError,
    UnknownSocketError,
)
from socketd.service import Limits
from tests.held import FIRST, Held, ManualClock, specification, where
from tests.recording_keeper import RecordingKeeper

ORIGIN = Origin(Owner(0))


class ShrinkingNumbers(Numbers):
    """Gives a number, and at once lowers RLIMIT_NOFILE below it, so that ``dup3`` to it is refused."""

    def duplicate(self, fd: int) -> int:
        number = super().duplicate(fd)
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
        return number


@pytest.mark.parametrize(
    "reference", ["web", "7", 7, "0", "-1", "9" * 5000, "٢٠٠", "", "200 ", "+200", "2_00", "1e2"]
)
def test_what_is_not_held_is_unknown(held: Held, reference: str | int):
    with pytest.raises(UnknownSocketError) as caught:
        held.table.find(reference)
    assert caught.value.subject == str(reference)


def test_a_taken_name_is_refused_and_the_socket_closed(held: Held):
    held.tcp(name="web")
    sock = _socket.socket()
    with pytest.raises(NameTakenError):
        held.table.hold(sock, Origin(Owner(0), "web"))
    assert sock.fileno() == -1
    assert len(held.table) == 1


def test_a_full_table_is_refused_and_the_socket_closed():
    held = Held(limits=Limits(descriptors=FIRST + 1))
    held.tcp()
    sock = _socket.socket()
    with pytest.raises(OutOfDescriptorsError):
        held.table.hold(sock, ORIGIN)
    assert sock.fileno() == -1
    held.service.close()


def test_accepting_from_an_empty_backlog_takes_nothing_and_no_number(held: Held):
    listener = held.listener()
    os.set_blocking(listener.fd, False)
    for _ in range(3):
        assert held.table.hold_accepted(listener, ORIGIN) is None
    assert held.tcp().fd == listener.fd + 1


def test_accepting_under_a_taken_name_leaves_the_connection_in_the_backlog(held: Held):
    listener = held.listener(name="web")
    with socket.create_connection(listener.sock.getsockname()):
        with pytest.raises(NameTakenError):
            held.table.hold_accepted(listener, Origin(Owner(0), "web"))
        assert held.table.hold_accepted(listener, Origin(Owner(0), "other")) is not None


def test_accepting_into_a_full_table_leaves_the_connection_in_the_backlog():
    held = Held(limits=Limits(descriptors=FIRST + 2))
    listener, other = held.listener(), held.tcp()
    with socket.create_connection(listener.sock.getsockname()):
        with pytest.raises(OutOfDescriptorsError):
            held.table.hold_accepted(listener, ORIGIN)
        held.table.close(other)
        held.clock.now += 1000
        assert held.table.hold_accepted(listener, ORIGIN) is not None
    held.service.close()


def test_accepting_without_a_descriptor_for_the_kernel_leaves_the_connection_in_the_backlog(held: Held):
    listener = held.listener()
    with socket.create_connection(listener.sock.getsockname()):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        plugs = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (listener.fd + 2, hard))
        try:
            while len(plugs) < soft:
                try:
                    plugs.append(os.dup(0))
                except OSError:
                    break
            os.close(plugs.pop())  # one number is left: for the reservation, and none for accept4
            with pytest.raises(OSError, match="Too many open files"):
                held.table.hold_accepted(listener, ORIGIN)
        finally:
            for plug in plugs:
                os.close(plug)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert held.table.hold_accepted(listener, ORIGIN) is not None


def test_accepting_to_a_number_that_dup3_refuses_closes_everything(held: Held):
    clock = ManualClock()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    keeper = RecordingKeeper()
    table = SocketTable(ShrinkingNumbers(FIRST + 100, FIRST + 200, 1.0, clock), clock, keeper)
    listener = held.listener()
    with socket.create_connection(listener.sock.getsockname()) as client:
        try:
            with pytest.raises(OSError, match="Bad file descriptor"):
                table.hold_accepted(listener, ORIGIN)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert keeper.said == [("store_accepted", FIRST + 100), ("forget", FIRST + 100)]
        keeper.confirm()
        assert client.recv(1) == b""
    assert len(table) == 0


def test_accepting_from_a_closed_listener_is_closed_meanwhile(held: Held):
    listener = held.listener()
    held.table.close(listener)
    with pytest.raises(ClosedMeanwhileError):
        held.table.hold_accepted(listener, ORIGIN)


def test_accepting_from_what_does_not_listen_is_what_the_kernel_says(held: Held):
    with pytest.raises(OSError, match="Invalid argument"):
        held.table.hold_accepted(held.tcp(), ORIGIN)


def test_closing_twice_is_closed_meanwhile(held: Held):
    entry = held.tcp()
    held.table.close(entry)
    with pytest.raises(ClosedMeanwhileError) as caught:
        held.table.close(entry)
    assert caught.value.symbol == "EBADF"


def test_a_held_socket_is_the_one_that_was_made(held: Held):
    sock = _socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    cookie = struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, 57, 8))[0]
    inode = os.fstat(sock.fileno()).st_ino
    entry = held.table.hold(sock, Origin(Owner(1000), "dns", persist="boot"))
    assert (entry.cookie, entry.inode) == (cookie, inode)
    assert (entry.family, entry.type, entry.protocol) == (10, 2, socket.IPPROTO_UDP)
    assert (entry.owner, entry.name, entry.persist) == (Owner(1000), "dns", "boot")
    assert entry.created_at == held.clock.time()
    assert os.fstat(entry.fd).st_ino == inode
    assert not os.get_inheritable(entry.fd)


def test_a_held_socket_is_found_by_number_and_by_name(held: Held):
    entry = held.tcp(name="web")
    assert held.table.find(entry.fd) is held.table.find(entry.reference) is held.table.find("web") is entry


def test_an_accepted_socket_knows_its_listener(held: Held):
    listener = held.listener()
    near = held.make(specification(connect=where(listener)))
    accepted = held.table.hold_accepted(listener, Origin(Owner(0), accepted_from=listener.fd))
    assert accepted is not None
    assert accepted.accepted_from == listener.fd
    assert accepted.sock.getpeername() == near.sock.getsockname()
    assert accepted.cookie != listener.cookie
    assert not os.get_inheritable(accepted.fd)


def test_closing_frees_the_name_and_rests_the_number(held: Held):
    entry = held.tcp(name="web")
    held.table.close(entry)
    with pytest.raises(UnknownSocketError):
        held.table.find("web")
    again = held.tcp(name="web")
    assert again.fd > entry.fd


def test_closing_a_listener_frees_the_port(held: Held):
    listener = held.listener()
    address = listener.sock.getsockname()
    held.table.close(listener)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_entries_are_listed_by_number(held: Held):
    made = [held.tcp() for _ in range(5)]
    held.table.close(made.pop(2))
    assert held.table.entries() == made


def test_closing_all_leaves_nothing(held: Held):
    made = [held.tcp(name=f"s{n}") for n in range(3)]
    held.table.close_all()
    assert len(held.table) == 0
    assert all(entry.closed and entry.sock.fileno() == -1 for entry in made)
