"""Waits take turns, end with the socket, the time or the client, and take nothing for one that left."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from socketd.core import calls, receiving
from socketd.core.owner import Owner
from socketd.core.receiving import Wanted
from socketd.core.table import Origin
from socketd.core.waiting import until_done
from socketd.errors import (
    ClientGoneError,
    ClosedMeanwhileError,
    ShuttingDownError,
    TooManyWaitsError,
    WaitTimeoutError,
    WouldBlockError,
)
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future, ThreadPoolExecutor

    from socketd.core.entry import Entry
    from tests.held import Held

POLLIN = 1
BYTES = Wanted(100, 0, 1, 1000)


def receive(held: Held, entry: Entry, timeout_s: float = 10.0, waiter: PollWaiter | None = None) -> bytes:
    got = receiving.receive(entry, BYTES, held.patience(timeout_s, waiter))
    return b"".join(message.data for message in got.messages)


def queue_up(
    held: Held, threads: ThreadPoolExecutor, entry: Entry, count: int
) -> list[tuple[Future[bytes], PollWaiter]]:
    """Let ``count`` receives wait, one after another; only the first is armed."""
    waiting = []
    for position in range(1, count + 1):
        waiter = PollWaiter()
        waiting.append((threads.submit(receive, held, entry, 10.0, waiter), waiter))
        await_condition(lambda position=position: len(entry.queue(POLLIN)) == position)
    waiting[0][1].await_waiting()
    return waiting


def await_condition(holds: Callable[[], bool]) -> None:
    ticking = threading.Event()
    for _ in range(10_000):
        if holds():
            return
        ticking.wait(0.001)
    raise TimeoutError


def test_on_a_closed_socket_no_attempt_is_made(held: Held):
    entry = held.udp()
    held.table.close(entry)

    def never() -> None:
        raise AssertionError

    with pytest.raises(ClosedMeanwhileError):
        until_done(entry, POLLIN, "recv", held.patience(), never)


def test_without_patience_it_would_block_and_nobody_waits(held: Held):
    with pytest.raises(WouldBlockError):
        receive(held, held.udp(), 0)


def test_in_vain_it_times_out_and_leaves_no_wait_behind(held: Held):
    entry = held.udp()
    with pytest.raises(WaitTimeoutError) as caught:
        receive(held, entry, 0.01)
    assert caught.value.syscall == "recv"
    assert not entry.queue(POLLIN)


def test_too_many_waits_are_refused_before_anything_is_taken(held: Held):
    with pytest.raises(TooManyWaitsError):
        receive(held, held.udp(), 10.0, PollWaiter(max_waits=0))


def test_a_daemon_that_stops_ends_waits(held: Held, threads: ThreadPoolExecutor):
    entry = held.udp()
    waiting = threads.submit(receive, held, entry)
    held.waiter.await_waiting()
    held.waiter.shut()
    with pytest.raises(ShuttingDownError):
        waiting.result()
    assert not entry.queue(POLLIN)


def test_closing_ends_every_wait_at_once(held: Held, threads: ThreadPoolExecutor):
    entry = held.udp()
    waiting = queue_up(held, threads, entry, 3)
    held.table.close(entry)
    for each, _ in waiting:
        with pytest.raises(ClosedMeanwhileError):
            each.result()


def test_arrivals_go_to_those_who_wait_in_the_order_they_came(held: Held, threads: ThreadPoolExecutor):
    entry = held.udp()
    waiting = queue_up(held, threads, entry, 4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for n, (each, _) in enumerate(waiting):
            sender.sendto(b"%d" % n, entry.sock.getsockname())
            assert each.result() == b"%d" % n


def test_several_arrivals_at_once_go_round_in_order_too(held: Held, threads: ThreadPoolExecutor):
    entry = held.udp()
    waiting = queue_up(held, threads, entry, 4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for n in range(4):
            sender.sendto(b"%d" % n, entry.sock.getsockname())
    assert [each.result() for each, _ in waiting] == [b"0", b"1", b"2", b"3"]


def test_one_that_comes_late_does_not_overtake_those_who_wait(held: Held, threads: ThreadPoolExecutor):
    entry = held.udp()
    (first, _), (second, _) = queue_up(held, threads, entry, 2)
    late = threads.submit(receive, held, entry)
    await_condition(lambda: len(entry.queue(POLLIN)) == 3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for n in range(3):
            sender.sendto(b"%d" % n, entry.sock.getsockname())
    assert [first.result(), second.result(), late.result()] == [b"0", b"1", b"2"]


def test_when_the_first_gives_up_it_is_the_next_ones_turn(held: Held, threads: ThreadPoolExecutor):
    entry = held.udp()
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        first = threads.submit(receive, held, entry, 10.0, PollWaiter(ours.fileno()))
        await_condition(lambda: len(entry.queue(POLLIN)) == 1)
        second = threads.submit(receive, held, entry)
        await_condition(lambda: len(entry.queue(POLLIN)) == 2)
        theirs.close()
        with pytest.raises(ClientGoneError):
            first.result()
        sender.sendto(b"for the second", entry.sock.getsockname())
        assert second.result() == b"for the second"


def test_bytes_are_not_taken_for_a_client_that_has_gone(held: Held):
    near, far = held.pair()
    far.sock.send(b"precious")
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours, pytest.raises(ClientGoneError):
        receive(held, near, 10.0, PollWaiter(ours.fileno()))
    assert receive(held, near) == b"precious"


def test_bytes_that_come_after_the_client_has_gone_are_still_there(held: Held, threads: ThreadPoolExecutor):
    near, far = held.pair()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        waiter = PollWaiter(ours.fileno())
        waiting = threads.submit(receive, held, near, 10.0, waiter)
        waiter.await_waiting()
        theirs.close()
        far.sock.send(b"precious")
        with pytest.raises(ClientGoneError):
            waiting.result()
    assert receive(held, near) == b"precious"


def test_a_connection_is_not_taken_for_a_client_that_has_gone(held: Held, threads: ThreadPoolExecutor):
    listener = held.listener()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        waiter = PollWaiter(ours.fileno())
        waiting = threads.submit(
            calls.accept, held.table, listener, Origin(Owner(0)), held.patience(10.0, waiter)
        )
        waiter.await_waiting()
        theirs.close()
        with socket.create_connection(listener.sock.getsockname()) as client:
            with pytest.raises(ClientGoneError):
                waiting.result()
            accepted = calls.accept(held.table, listener, Origin(Owner(0)), held.patience(0))
            assert accepted.sock.getpeername() == client.getsockname()


def test_an_event_that_holds_though_the_call_would_block_is_no_busy_loop(held: Held):
    listener = held.listener()
    attempts = []
    with socket.create_connection(listener.sock.getsockname()), pytest.raises(WaitTimeoutError):
        until_done(listener, POLLIN, "accept", held.patience(0.1), lambda: attempts.append(1))
    assert len(attempts) < 30  # one in ten milliseconds; a busy loop makes tens of thousands


def test_closing_ends_a_wait_that_paces_itself(held: Held, threads: ThreadPoolExecutor):
    listener = held.listener()
    began = threading.Event()
    with socket.create_connection(listener.sock.getsockname()):
        waiting = threads.submit(until_done, listener, POLLIN, "accept", held.patience(), began.set)
        began.wait(10)
        held.table.close(listener)
        with pytest.raises(ClosedMeanwhileError):
            waiting.result()


def test_what_is_there_already_is_taken_without_a_wait(held: Held):
    listener = held.listener()
    with socket.create_connection(listener.sock.getsockname()):
        waiter = PollWaiter(max_waits=0)
        assert calls.accept(held.table, listener, Origin(Owner(0)), held.patience(10.0, waiter))
