"""Receiving messages: each whole or told to be cut, and the end told from an empty one."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import pytest

from socketd.core import receiving
from socketd.core.address import Address
from socketd.core.receiving import Received, Wanted
from socketd.errors import KernelRefusedError
from tests.held import specification
from tests.unit.core.received import MESSAGE_KINDS, PEEK, TRUNC, data_of, receive

if TYPE_CHECKING:
    from tests.held import Held


@pytest.mark.parametrize("kind", MESSAGE_KINDS)
def test_a_message_longer_than_the_size_is_cut_and_its_length_told(held: Held, kind: int):
    near, far = held.pair(kind)
    far.sock.send(b"abcdef")
    (message,) = receive(held, near, 4).messages
    assert (message.data, message.length, message.flags & TRUNC) == (b"abcd", 6, TRUNC)


def test_a_datagram_longer_than_the_size_is_cut_and_nothing_foreign_is_in_it(held: Held):
    entry, other = held.udp(), held.udp()
    other.sock.sendto(b"x" * 60_000, entry.sock.getsockname())
    (message,) = receive(held, entry, 3, TRUNC).messages
    assert (message.data, message.length) == (b"xxx", 60_000)
    assert message.source == Address(socket.AF_INET, other.sock.getsockname())


def test_a_datagram_that_fits_is_not_cut(held: Held):
    entry, other = held.udp(), held.udp()
    other.sock.sendto(b"xyz", entry.sock.getsockname())
    (message,) = receive(held, entry, 3).messages
    assert (message.data, message.length, message.flags) == (b"xyz", 3, 0)


def test_several_messages_that_are_there_come_in_one_call(held: Held):
    entry, other = held.udp(), held.udp()
    for data in (b"one", b"", b"three", b"four"):
        other.sock.sendto(data, entry.sock.getsockname())
    assert data_of(receive(held, entry, most=3)) == [b"one", b"", b"three"]
    assert data_of(receive(held, entry, most=3)) == [b"four"]


def test_several_messages_end_with_the_bytes_an_answer_may_hold(held: Held):
    near, far = held.pair(socket.SOCK_DGRAM)
    for _ in range(5):
        far.sock.send(b"x" * 10)
    got = receiving.receive(near, Wanted(10, 0, 5, 25), held.patience())
    assert len(got.messages) == 3
    assert len(receive(held, near, most=5).messages) == 2


def test_peeking_at_several_messages_shows_the_first_one_once(held: Held):
    near, far = held.pair(socket.SOCK_DGRAM)
    far.sock.send(b"one")
    far.sock.send(b"two")
    assert data_of(receive(held, near, flags=PEEK, most=5)) == [b"one"]


def test_an_error_behind_a_message_is_left_for_the_next_call(held: Held):
    entry, other = held.udp(), held.udp()
    other.sock.sendto(b"kept", entry.sock.getsockname())
    entry.sock.connect(other.sock.getsockname())
    held.table.close(other)
    assert data_of(receive(held, entry, most=5)) == [b"kept"]
    entry.sock.send(b"to nobody")
    with pytest.raises(KernelRefusedError):
        receive(held, entry, most=5)


@pytest.mark.parametrize("kind", MESSAGE_KINDS)
def test_an_empty_message_is_no_eof(held: Held, kind: int):
    near, far = held.pair(kind)
    far.sock.send(b"")
    got = receive(held, near)
    assert (data_of(got), got.is_eof) == ([b""], False)


def test_an_empty_udp_datagram_is_no_eof_and_has_a_sender(held: Held):
    entry, other = held.udp(), held.udp()
    other.sock.sendto(b"", entry.sock.getsockname())
    got = receive(held, entry)
    assert (data_of(got), got.is_eof) == ([b""], False)
    assert got.messages[0].source == Address(socket.AF_INET, other.sock.getsockname())


def test_the_end_of_a_seqpacket_connection_is_eof(held: Held):
    near, far = held.pair(socket.SOCK_SEQPACKET)
    far.sock.send(b"last")
    held.table.close(far)
    got = receive(held, near, most=5)
    assert (data_of(got), got.is_eof) == ([b"last"], False)
    assert receive(held, near) == Received((), is_eof=True)


def test_empty_messages_before_the_end_are_not_taken_for_it(held: Held):
    near, far = held.pair(socket.SOCK_SEQPACKET)
    for data in (b"", b"two", b"", b"four"):
        far.sock.send(data)
    held.table.close(far)
    assert data_of(receive(held, near)) == [b""]
    assert data_of(receive(held, near, most=9)) == [b"two", b"", b"four"]
    assert receive(held, near).is_eof


def test_an_empty_message_between_others_is_not_lost(held: Held):
    near, far = held.pair(socket.SOCK_SEQPACKET)
    for data in (b"one", b"", b"three"):
        far.sock.send(data)
    assert data_of(receive(held, near, most=9)) == [b"one", b"", b"three"]


def test_a_udp_socket_shut_for_reading_is_at_its_end(held: Held):
    entry, other = held.udp(), held.udp()
    entry.sock.connect(other.sock.getsockname())
    entry.sock.shutdown(socket.SHUT_RD)
    assert receive(held, entry).is_eof


def test_descriptors_that_a_peer_attaches_stay_with_the_kernel(held: Held):
    near, far = held.pair(socket.SOCK_SEQPACKET)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=i", 0))]
    far.sock.sendmsg([b"x"], rights)
    (message,) = receive(held, near).messages
    assert message.data == b"x"
    assert message.flags & socket.MSG_CTRUNC


def test_a_unix_datagram_tells_the_name_of_its_sender(held: Held):
    receiver = held.make(specification(socket.AF_UNIX, socket.SOCK_DGRAM, bind="@socketd-test-receiver"))
    sender = held.make(specification(socket.AF_UNIX, socket.SOCK_DGRAM, bind="@socketd-test-sender"))
    sender.sock.sendto(b"x", b"\0socketd-test-receiver")
    (message,) = receive(held, receiver).messages
    assert message.source == Address(socket.AF_UNIX, b"\0socketd-test-sender")


def test_a_unix_datagram_of_a_nameless_sender_has_no_source(held: Held):
    receiver = held.make(specification(socket.AF_UNIX, socket.SOCK_DGRAM, bind="@socketd-test-receiver"))
    held.make(specification(socket.AF_UNIX, socket.SOCK_DGRAM)).sock.sendto(b"x", b"\0socketd-test-receiver")
    (message,) = receive(held, receiver).messages
    assert message.source is None
