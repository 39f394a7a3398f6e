"""Sending tells exactly what went: all of it, a part when the time was over, or why not."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from socketd.core import transfer
from socketd.core.address import Address, unix_abstract
from socketd.core.transfer import Outgoing, Sent
from socketd.errors import (
    ClosedMeanwhileError,
    KernelRefusedError,
    WaitTimeoutError,
    WouldBlockError,
)
from tests.held import specification
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from socketd.core.entry import Entry
    from tests.held import Held

MUCH = bytes(8 * 1024 * 1024)


def send(
    held: Held, entry: Entry, *messages: Outgoing | bytes, flags: int = 0, timeout_s: float = 10.0
) -> Sent:
    outgoing = [Outgoing(each) if isinstance(each, bytes) else each for each in messages]
    return transfer.send(entry, outgoing, flags, held.patience(timeout_s))


class CountedWaiter(PollWaiter):
    """Counts the checks, and so the attempts."""

    def __init__(self) -> None:
        super().__init__()
        self.checks = 0

    def check(self) -> None:
        self.checks += 1
        super().check()


def fill(entry: Entry) -> int:
    """Send until there is no room."""
    sent = 0
    try:
        while True:
            sent += entry.sock.send(bytes(4096), socket.MSG_DONTWAIT)
    except BlockingIOError:
        return sent


def at(entry: Entry) -> Address:
    return Address(entry.family, entry.sock.getsockname())


@pytest.mark.parametrize(
    ("kind", "symbol"), [(socket.SOCK_STREAM, "EPIPE"), (socket.SOCK_DGRAM, "EDESTADDRREQ")]
)
def test_to_nobody_is_what_the_kernel_says(held: Held, kind: int, symbol: str):
    with pytest.raises(KernelRefusedError) as caught:
        send(held, held.make(specification(socket.AF_INET, kind)), b"x")
    assert (caught.value.symbol, caught.value.syscall) == (symbol, "send")


def test_on_an_unconnected_unix_stream_is_enotconn(held: Held):
    with pytest.raises(KernelRefusedError) as caught:
        send(held, held.make(specification(socket.AF_UNIX)), b"x")
    assert caught.value.symbol == "ENOTCONN"


def test_after_the_peer_has_gone_is_epipe_and_no_signal(held: Held):
    near, far = held.pair()
    held.table.close(far)
    with pytest.raises(KernelRefusedError) as caught:
        send(held, near, b"x")
    assert caught.value.symbol == "EPIPE"


def test_a_datagram_that_is_too_long_is_emsgsize(held: Held):
    entry, other = held.udp(), held.udp()
    with pytest.raises(KernelRefusedError) as caught:
        send(held, entry, Outgoing(bytes(65_508), at(other)))
    assert caught.value.symbol == "EMSGSIZE"
    assert "65,507" in (caught.value.hint or "")


def test_an_oob_message_on_a_datagram_socket_is_eopnotsupp(held: Held):
    with pytest.raises(KernelRefusedError) as caught:
        send(held, held.udp(), Outgoing(b"x", at(held.udp())), flags=socket.MSG_OOB)
    assert caught.value.symbol == "EOPNOTSUPP"


def test_without_room_and_patience_it_would_block(held: Held):
    near, _far = held.pair()
    fill(near)
    with pytest.raises(WouldBlockError):
        send(held, near, b"x", timeout_s=0)


def test_without_room_it_times_out(held: Held):
    near, _far = held.pair()
    fill(near)
    with pytest.raises(WaitTimeoutError) as caught:
        send(held, near, b"x", timeout_s=0.01)
    assert caught.value.syscall == "send"


def test_closing_ends_a_send_that_waits(held: Held, threads: ThreadPoolExecutor):
    near, _far = held.pair()
    fill(near)
    waiting = threads.submit(send, held, near, b"x")
    held.waiter.await_waiting()
    held.table.close(near)
    with pytest.raises(ClosedMeanwhileError):
        waiting.result()


@pytest.mark.parametrize("timeout_s", [0, 0.01])
def test_when_the_time_is_over_the_part_that_went_is_told(held: Held, timeout_s: float):
    near, far = held.connection()
    sent = send(held, near, MUCH, timeout_s=timeout_s)
    assert 0 < sent.size < len(MUCH)
    assert (sent.messages, sent.is_complete, sent.error) == (0, False, None)
    near.sock.shutdown(socket.SHUT_WR)
    assert drain(far) == sent.size


def test_everything_goes_to_a_peer_that_reads(held: Held, threads: ThreadPoolExecutor):
    near, far = held.connection()
    waiting = threads.submit(send, held, near, MUCH)
    held.waiter.await_waiting()
    assert threads.submit(drain, far, len(MUCH)).result() == len(MUCH)
    assert waiting.result() == Sent(len(MUCH), 1, is_complete=True)


def test_a_pipe_that_breaks_after_a_part_tells_the_part_and_why(held: Held, threads: ThreadPoolExecutor):
    near, far = held.pair()
    waiting = threads.submit(send, held, near, MUCH)
    held.waiter.await_waiting()
    held.table.close(far)
    sent = waiting.result()
    assert 0 < sent.size < len(MUCH)
    assert not sent.is_complete
    assert sent.error is not None
    assert sent.error.symbol in ("EPIPE", "ECONNRESET")


def test_a_socket_closed_after_a_part_tells_the_part_and_why(held: Held, threads: ThreadPoolExecutor):
    near, _far = held.pair()
    waiting = threads.submit(send, held, near, MUCH)
    held.waiter.await_waiting()
    held.table.close(near)
    sent = waiting.result()
    assert sent.size > 0
    assert isinstance(sent.error, ClosedMeanwhileError)


def test_a_failing_message_in_the_middle_ends_the_call_and_is_told(held: Held):
    entry, other = held.udp(), held.udp()
    to = at(other)
    sent = send(held, entry, Outgoing(b"one", to), Outgoing(bytes(65_508), to), Outgoing(b"three", to))
    assert (sent.size, sent.messages, sent.is_complete) == (3, 1, False)
    assert sent.error is not None
    assert sent.error.symbol == "EMSGSIZE"
    assert other.sock.recv(9) == b"one"
    with pytest.raises(BlockingIOError):
        other.sock.recv(9, socket.MSG_DONTWAIT)


def test_an_empty_message_that_went_counts_though_it_has_no_bytes(held: Held):
    entry, other = held.udp(), held.udp()
    sent = send(held, entry, Outgoing(b"", at(other)), Outgoing(bytes(65_508), at(other)))
    assert (sent.size, sent.messages, sent.is_complete) == (0, 1, False)
    assert other.sock.recv(9) == b""


def test_several_messages_keep_their_boundaries(held: Held):
    near, far = held.pair(socket.SOCK_SEQPACKET)
    assert send(held, near, b"one", b"", b"three") == Sent(8, 3, is_complete=True)
    assert [far.sock.recv(9) for _ in range(3)] == [b"one", b"", b"three"]


def test_to_the_full_queue_of_somebody_else_it_waits_without_a_busy_loop(
    held: Held, threads: ThreadPoolExecutor
):
    unix_datagrams = specification(socket.AF_UNIX, socket.SOCK_DGRAM, bind="@socketd-test-full-queue")
    receiver, sender = held.make(unix_datagrams), held.make(specification(socket.AF_UNIX, socket.SOCK_DGRAM))
    to = unix_abstract("socketd-test-full-queue")
    sent = send(held, sender, *[Outgoing(b"x", to)] * 100_000, timeout_s=0)
    assert not sent.is_complete  # and yet, as it is not connected, poll(2) says that there is room
    attempts = CountedWaiter()
    with pytest.raises(WaitTimeoutError):
        transfer.send(sender, [Outgoing(b"x", to)], 0, held.patience(0.1, attempts))
    assert attempts.checks < 30
    waiting = threads.submit(send, held, sender, Outgoing(b"last", to))
    receiver.sock.recv(9)
    assert waiting.result().is_complete


def test_urgent_data_goes_as_such(held: Held):
    near, far = held.connection()
    assert send(held, near, b"!", flags=socket.MSG_OOB).is_complete
    assert far.sock.recv(1, socket.MSG_OOB) == b"!"


def test_send_does_not_block_though_a_duplicate_was_made_blocking(held: Held):
    near, _far = held.pair()
    fill(near)
    duplicate = os.dup(near.fd)
    try:
        os.set_blocking(duplicate, True)
        with pytest.raises(WouldBlockError):
            send(held, near, b"x", timeout_s=0)
    finally:
        os.close(duplicate)


def drain(entry: Entry, size: int | None = None) -> int:
    """Receive ``size`` bytes, or until the end."""
    os.set_blocking(entry.fd, True)
    taken = 0
    while taken != size:
        got = len(entry.sock.recv(1 << 20))
        if not got:
            break
        taken += got
    return taken
