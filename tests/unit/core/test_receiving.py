"""Receiving: nothing foreign, nothing lost, messages whole, and the end told from an empty message."""

from __future__ import annotations

import os
import socket
import struct
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from socketd.core import receiving
from socketd.core.address import Address
from socketd.core.receiving import Received, Wanted
from socketd.errors import ClosedMeanwhileError, KernelRefusedError, WaitTimeoutError, WouldBlockError
from tests.held import specification

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from socketd.core.entry import Entry
    from tests.held import Held

MESSAGE_KINDS = [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET]
TRUNC, PEEK, WAITALL, OOB = socket.MSG_TRUNC, socket.MSG_PEEK, socket.MSG_WAITALL, socket.MSG_OOB


def receive(
    held: Held, entry: Entry, size: int = 100, flags: int = 0, most: int = 1, timeout_s: float = 10.0
) -> Received:
    return receiving.receive(entry, Wanted(size, flags, most, 1 << 20), held.patience(timeout_s))


def data_of(got: Received) -> list[bytes]:
    return [message.data for message in got.messages]


def test_from_what_is_not_connected_is_enotconn(held: Held):
    for flags in (0, WAITALL):
        with pytest.raises(KernelRefusedError) as caught:
            receive(held, held.tcp(), flags=flags)
        assert (caught.value.symbol, caught.value.syscall) == ("ENOTCONN", "recv")


@pytest.mark.parametrize("flags", [0, WAITALL])
def test_from_a_listener_is_enotconn_at_once(held: Held, flags: int):
    with pytest.raises(KernelRefusedError) as caught:
        receive(held, held.listener(), flags=flags)
    assert caught.value.symbol == "ENOTCONN"


def test_urgent_data_that_is_not_there_is_einval(held: Held):
    near, _far = held.connection()
    with pytest.raises(KernelRefusedError) as caught:
        receive(held, near, flags=OOB)
    assert caught.value.symbol == "EINVAL"


def test_a_connection_that_was_reset_is_econnreset(held: Held):
    near, far = held.connection()
    far.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
    held.table.close(far)
    with pytest.raises(KernelRefusedError) as caught:
        receive(held, near)
    assert caught.value.symbol == "ECONNRESET"


def test_a_datagram_that_found_nobody_is_econnrefused(held: Held):
    entry = held.udp()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        entry.sock.connect(gone.getsockname())
    entry.sock.send(b"to nobody")
    with pytest.raises(KernelRefusedError) as caught:
        receive(held, entry)
    assert caught.value.symbol == "ECONNREFUSED"


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, *MESSAGE_KINDS])
@pytest.mark.parametrize("flags", [0, WAITALL, TRUNC, PEEK])
def test_without_patience_it_would_block(held: Held, kind: int, flags: int):
    near, _far = held.pair(kind)
    with pytest.raises(WouldBlockError):
        receive(held, near, flags=flags, timeout_s=0)


@pytest.mark.parametrize("flags", [0, WAITALL, TRUNC, PEEK, socket.MSG_ERRQUEUE])
def test_in_vain_it_times_out(held: Held, flags: int):
    near, _far = held.connection()
    with pytest.raises(WaitTimeoutError):
        receive(held, near, flags=flags, timeout_s=0.01)


@pytest.mark.parametrize("flags", [0, WAITALL])
def test_closing_ends_a_receive_that_waits(held: Held, threads: ThreadPoolExecutor, flags: int):
    near, _far = held.pair()
    waiting = threads.submit(receive, held, near, 100, flags)
    held.waiter.await_waiting()
    held.table.close(near)
    with pytest.raises(ClosedMeanwhileError):
        waiting.result()


@pytest.mark.parametrize(("kind", "flags"), [(socket.SOCK_DGRAM, 0), (socket.SOCK_STREAM, TRUNC)])
def test_who_waits_for_much_holds_no_buffer_meanwhile(
    held: Held, threads: ThreadPoolExecutor, kind: int, flags: int
):
    near, far = held.pair(kind)
    size = 64 * 1024 * 1024
    tracemalloc.start()
    try:
        waiting = threads.submit(receive, held, near, size, flags)
        held.waiter.await_waiting()
        assert tracemalloc.get_traced_memory()[0] < size
        far.sock.send(b"x")
        assert data_of(waiting.result()) == [b"x"]
    finally:
        tracemalloc.stop()


def test_receive_does_not_block_though_a_duplicate_was_made_blocking(held: Held):
    near, _far = held.pair()
    duplicate = os.dup(near.fd)
    try:
        os.set_blocking(duplicate, True)
        with pytest.raises(WouldBlockError):
            receive(held, near, timeout_s=0)
    finally:
        os.close(duplicate)


def test_a_stream_gives_what_is_there_up_to_the_size(held: Held):
    near, far = held.connection()
    far.sock.send(b"abcdef")
    got = receive(held, near, 4)
    (message,) = got.messages
    assert (message.data, message.length, message.source, message.flags) == (b"abcd", 4, None, 0)
    assert data_of(receive(held, near, 4)) == [b"ef"]


def test_a_stream_waits_for_bytes(held: Held, threads: ThreadPoolExecutor):
    near, far = held.connection()
    waiting = threads.submit(receive, held, near)
    held.waiter.await_waiting()
    far.sock.send(b"x")
    assert data_of(waiting.result()) == [b"x"]


def test_the_end_of_a_stream_is_eof_after_its_last_bytes_and_again(held: Held):
    near, far = held.connection()
    far.sock.send(b"last")
    far.sock.shutdown(socket.SHUT_WR)
    got = receive(held, near)
    assert (data_of(got), got.is_eof) == ([b"last"], False)
    for flags in (0, PEEK, WAITALL, TRUNC):
        got = receive(held, near, flags=flags)
        assert (data_of(got), got.is_eof) == ([b""], True)


def test_peeking_leaves_the_bytes(held: Held):
    near, far = held.pair()
    far.sock.send(b"abc")
    for flags in (PEEK, PEEK, 0):
        assert data_of(receive(held, near, flags=flags)) == [b"abc"]


def test_urgent_data_is_received_as_such_and_is_no_eof(held: Held):
    near, far = held.connection()
    far.sock.send(b"!", OOB)
    got = receive(held, near, 1, OOB)
    assert (data_of(got), got.is_eof) == ([b"!"], False)


def test_trunc_on_tcp_throws_the_bytes_away_and_tells_how_many(held: Held):
    near, far = held.connection()
    far.sock.send(b"secret")
    (message,) = receive(held, near, 4, TRUNC).messages
    assert (message.data, message.length, message.flags) == (b"", 4, TRUNC)
    assert data_of(receive(held, near)) == [b"et"]


def test_trunc_on_a_unix_stream_is_ignored_and_loses_nothing(held: Held):
    near, far = held.pair()
    far.sock.send(b"secret")
    (message,) = receive(held, near, 4, TRUNC).messages
    assert (message.data, message.length) == (b"secr", 4)
    assert data_of(receive(held, near)) == [b"et"]


def test_waitall_leaves_the_bytes_in_the_kernel_until_all_are_there(held: Held, threads: ThreadPoolExecutor):
    near, far = held.connection()
    waiting = threads.submit(receive, held, near, 6, WAITALL)
    held.waiter.await_waiting()
    far.sock.send(b"abc")
    assert near.sock.recv(9, PEEK) == b"abc"
    far.sock.send(b"def")
    assert data_of(waiting.result()) == [b"abcdef"]


def test_waitall_gives_the_rest_when_the_time_is_over(held: Held):
    near, far = held.connection()
    far.sock.send(b"abc")
    got = receive(held, near, 6, WAITALL, timeout_s=0.01)
    assert (data_of(got), got.is_eof) == ([b"abc"], False)


def test_waitall_gives_the_rest_at_the_end_of_the_stream(held: Held, threads: ThreadPoolExecutor):
    near, far = held.connection()
    far.sock.send(b"abc")
    waiting = threads.submit(receive, held, near, 6, WAITALL)
    held.waiter.await_waiting()
    held.table.close(far)
    assert data_of(waiting.result()) == [b"abc"]


@pytest.mark.parametrize("step", [1, 1000, 100_000])
def test_waitall_gets_what_the_buffer_can_hold_of_more_than_fits(
    held: Held, threads: ThreadPoolExecutor, step: int
):
    near, far = held.connection()
    far.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waiting = threads.submit(receive, held, near, 8 * 1024 * 1024, WAITALL)
    held.waiter.await_waiting()
    while not waiting.done():
        try:
            far.sock.send(bytes(step), socket.MSG_DONTWAIT)
        except BlockingIOError:
            waiting.exception(timeout=15)
    (message,) = waiting.result().messages
    assert message.length > 10_000


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
