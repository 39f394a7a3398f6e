"""poll over many held sockets: what holds is told, what is closed is POLLNVAL, the rest is waited for."""

from __future__ import annotations

import os
import socket
from select import POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDHUP
from typing import TYPE_CHECKING

import pytest

from socketd.core import polling
from socketd.errors import ClientGoneError, ShuttingDownError
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from tests.held import Held


def test_a_number_that_is_not_open_is_pollnval():
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    assert polling.now(reading, POLLIN) == POLLNVAL


def test_now_tells_what_is_asked_for_and_errors_unasked(held: Held):
    near, far = held.pair()
    assert polling.now(near.fd, POLLIN) == 0
    assert polling.now(near.fd, POLLIN | POLLOUT) == POLLOUT
    far.sock.send(b"x")
    assert polling.now(near.fd, POLLIN) == POLLIN
    held.table.close(far)
    assert polling.now(near.fd, 0) & POLLHUP


def test_a_socket_that_does_not_exist_is_pollnval_at_once(held: Held):
    assert polling.wait([(held.udp(), POLLIN), (None, POLLIN)], held.patience()) == [(1, POLLNVAL)]


def test_a_closed_socket_is_pollnval_at_once(held: Held):
    entry = held.udp()
    held.table.close(entry)
    assert polling.wait([(entry, POLLIN)], held.patience()) == [(0, POLLNVAL)]


def test_without_patience_the_answer_is_empty(held: Held):
    assert polling.wait([(held.udp(), POLLIN)], held.patience(0)) == []


def test_in_vain_the_answer_is_empty_and_nobody_watches(held: Held):
    entry = held.udp()
    assert polling.wait([(entry, POLLIN)], held.patience(0.01)) == []
    assert not entry.watchers


def test_polling_nothing_waits_for_the_time_alone(held: Held):
    assert polling.wait([], held.patience(0.01)) == []


def test_each_asker_is_told_only_what_it_asked_for(held: Held):
    near, far = held.pair()
    far.sock.send(b"x")
    wanted = [(near, POLLIN), (near, POLLOUT), (near, POLLPRI), (near, POLLIN | POLLOUT), (far, POLLIN)]
    assert polling.wait(wanted, held.patience()) == [(0, POLLIN), (1, POLLOUT), (3, POLLIN | POLLOUT)]


def test_a_hang_up_is_told_unasked(held: Held):
    near, far = held.pair()
    held.table.close(far)
    assert polling.wait([(near, 0)], held.patience()) == [(0, POLLHUP)]


def test_a_pending_error_is_told_unasked(held: Held):
    entry = held.udp()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        entry.sock.connect(gone.getsockname())
    entry.sock.send(b"to nobody")
    assert polling.wait([(entry, 0)], held.patience()) == [(0, POLLERR)]


def test_it_waits_for_the_first_of_many(held: Held, threads: ThreadPoolExecutor):
    pairs = [held.pair() for _ in range(50)]
    wanted = [(near, POLLIN) for near, _ in pairs]
    waiting = threads.submit(polling.wait, wanted, held.patience())
    held.waiter.await_waiting()
    pairs[37][1].sock.send(b"x")
    assert waiting.result() == [(37, POLLIN)]
    assert not any(near.watchers for near, _ in pairs)


def test_a_socket_named_twice_is_watched_for_both(held: Held, threads: ThreadPoolExecutor):
    near, far = held.pair()
    waiting = threads.submit(polling.wait, [(near, POLLRDHUP), (near, POLLIN)], held.patience())
    held.waiter.await_waiting()
    far.sock.send(b"x")
    assert waiting.result() == [(1, POLLIN)]


def test_closing_one_of_many_is_pollnval(held: Held, threads: ThreadPoolExecutor):
    entries = [held.udp() for _ in range(5)]
    waiting = threads.submit(polling.wait, [(entry, POLLIN) for entry in entries], held.patience())
    held.waiter.await_waiting()
    held.table.close(entries[0])  # that one is armed; the thread may still be about the others
    assert waiting.result() == [(0, POLLNVAL)]


def test_several_polls_of_one_socket_are_all_told(held: Held, threads: ThreadPoolExecutor):
    near, far = held.pair()
    waiting = [threads.submit(polling.wait, [(near, POLLIN)], held.patience()) for _ in range(3)]
    held.waiter.await_waiting(3)
    far.sock.send(b"x")
    assert [each.result() for each in waiting] == [[(0, POLLIN)]] * 3


def test_a_client_that_goes_ends_the_poll(held: Held, threads: ThreadPoolExecutor):
    entry = held.udp()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        waiter = PollWaiter(ours.fileno())
        waiting = threads.submit(polling.wait, [(entry, POLLIN)], held.patience(10.0, waiter))
        waiter.await_waiting()
        theirs.close()
        with pytest.raises(ClientGoneError):
            waiting.result()
    assert not entry.watchers


def test_a_daemon_that_stops_ends_the_poll(held: Held, threads: ThreadPoolExecutor):
    waiting = threads.submit(polling.wait, [(held.udp(), POLLIN)], held.patience())
    held.waiter.await_waiting()
    held.waiter.shut()
    with pytest.raises(ShuttingDownError):
        waiting.result()
