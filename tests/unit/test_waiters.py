"""The stand-in for the runtime's waiting keeps the promises of ``core.seams``."""

from __future__ import annotations

import math
import select
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from socketd.core.seams import EDGE
from socketd.errors import ClientGoneError, ShuttingDownError, TooManyWaitsError
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd.core.seams import Waiter

    conforms: Waiter = PollWaiter()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_readable_descriptor_wakes(pair):
    ours, theirs = pair
    theirs.send(b"x")
    with PollWaiter().pause() as pause:
        pause.arm(ours.fileno(), select.POLLIN)
        assert pause.wait(math.inf)


def test_passed_deadline_is_false(pair):
    with PollWaiter().pause() as pause:
        pause.arm(pair[0].fileno(), select.POLLIN)
        assert not pause.wait(time.monotonic())


def test_disarmed_descriptor_does_not_wake(pair):
    ours, theirs = pair
    theirs.send(b"x")
    with PollWaiter().pause() as pause:
        pause.arm(ours.fileno(), select.POLLIN)
        pause.disarm(ours.fileno())
        pause.disarm(ours.fileno())
        assert not pause.wait(time.monotonic())


def test_edge_wakes_once_for_what_is_there(pair):
    ours, theirs = pair
    theirs.send(b"x")
    with PollWaiter().pause() as pause:
        pause.arm(ours.fileno(), select.POLLIN | EDGE)
        assert pause.wait(math.inf)
        assert not pause.wait(time.monotonic())


def test_ring_before_the_wait_is_not_lost():
    with PollWaiter().pause() as pause:
        pause.ring()
        assert pause.wait(math.inf)
        assert not pause.wait(time.monotonic())


def test_ring_from_another_thread_wakes():
    with PollWaiter().pause() as pause:
        ringer = threading.Thread(target=pause.ring)
        ringer.start()
        assert pause.wait(time.monotonic() + 30)
        ringer.join()


def test_client_that_hung_up_ends_the_wait_even_with_data_there(pair):
    ours, theirs = pair
    client, asker = socket.socketpair()
    theirs.send(b"x")
    with client, PollWaiter(client.fileno()).pause() as pause:
        asker.close()
        pause.arm(ours.fileno(), select.POLLIN)
        with pytest.raises(ClientGoneError):
            pause.wait(math.inf)


def test_check_tells_a_client_that_hung_up(pair):
    ours, theirs = pair
    waiter = PollWaiter(ours.fileno())
    waiter.check()
    theirs.close()
    with pytest.raises(ClientGoneError):
        waiter.check()


def test_shut_ends_waits_and_refuses_new_ones(pair):
    waiter = PollWaiter()
    ended = []

    def wait() -> None:
        with waiter.pause() as pause:
            pause.arm(pair[0].fileno(), select.POLLIN)
            try:
                pause.wait(math.inf)
            except ShuttingDownError as error:
                ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    waiter.await_waiting()
    waiter.shut()
    thread.join()
    assert ended
    with pytest.raises(ShuttingDownError), waiter.pause():
        pass


def test_one_wait_too_many_is_refused():
    waiter = PollWaiter(max_waits=1)
    with waiter.pause(), pytest.raises(TooManyWaitsError), waiter.pause():
        pass
