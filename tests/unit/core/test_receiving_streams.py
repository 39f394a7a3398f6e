"""Receiving from streams: what is there, all that is asked for, and the end."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.unit.core.received import OOB, PEEK, TRUNC, WAITALL, data_of, receive

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from tests.held import Held


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
