"""Receives that come to nothing: why not, for how long, and what they hold meanwhile."""

from __future__ import annotations

import os
import socket
import struct
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from socketd.errors import ClosedMeanwhileError, KernelRefusedError, WaitTimeoutError, WouldBlockError
from tests.unit.core.received import MESSAGE_KINDS, OOB, PEEK, TRUNC, WAITALL, data_of, receive

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from tests.held import Held


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
