"""The waiting room keeps the promises of ``core.seams``: it wakes for what was asked, and never spins."""

from __future__ import annotations

import math
import select
import socket
import time

import gevent
import pytest
from gevent.hub import get_hub

from socketd.core.seams import EDGE
from socketd.runtime.waiting import give_way
from tests.unit.runtime.hub import _hub
from tests.unit.runtime.waiting_rooms import held, http, loop_rounds, room, soon, waiter

__all__ = ["_hub", "held", "http", "room", "waiter"]  # fixtures


def test_what_is_there_already_wakes(waiter, held):
    held[1].send(b"x")
    with waiter.pause() as pause:
        pause.arm(held[0].fileno(), select.POLLIN)
        assert pause.wait(math.inf)


def test_what_comes_later_wakes(waiter, held):
    with waiter.pause() as pause:
        pause.arm(held[0].fileno(), select.POLLIN)
        sender = gevent.spawn(held[1].send, b"x")
        assert pause.wait(soon())
        sender.join()


def test_what_is_still_there_wakes_again(waiter, held):
    held[1].send(b"x")
    with waiter.pause() as pause:
        pause.arm(held[0].fileno(), select.POLLIN)
        assert [pause.wait(soon()) for _ in range(3)] == [True] * 3


def test_edge_wakes_once_for_each_arrival(waiter, held):
    held[1].send(b"x")
    with waiter.pause() as pause:
        pause.arm(held[0].fileno(), select.POLLIN | EDGE)
        assert pause.wait(soon())
        assert not pause.wait(time.monotonic())
        held[1].send(b"x")
        assert pause.wait(soon())


def test_passed_deadline_is_false_and_sees_what_is_there_first(waiter, held):
    with waiter.pause() as pause:
        pause.arm(held[0].fileno(), select.POLLIN)
        assert not pause.wait(time.monotonic() - 1)
        held[1].send(b"x")
        assert pause.wait(time.monotonic() - 1)


@pytest.mark.parametrize(
    "event", [select.POLLPRI, select.POLLRDHUP, select.POLLOUT], ids=["PRI", "RDHUP", "OUT"]
)
def test_only_the_events_asked_for_wake(waiter, event):
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as ours,
    ):
        theirs, _ = listener.accept()
        with theirs, waiter.pause() as pause:
            theirs.send(b"x")
            pause.arm(ours.fileno(), event)
            if event == select.POLLPRI:
                assert not pause.wait(time.monotonic())
                theirs.send(b"!", socket.MSG_OOB)
            elif event == select.POLLRDHUP:
                assert not pause.wait(time.monotonic())
                theirs.shutdown(socket.SHUT_WR)
            assert pause.wait(soon())


def test_error_and_hang_up_wake_unasked(waiter, held):
    with waiter.pause() as pause:
        pause.arm(held[0].fileno(), select.POLLPRI)
        held[1].close()
        assert pause.wait(soon())


def test_several_descriptors_of_one_pause(waiter, held):
    others = socket.socketpair()
    with others[0], others[1], waiter.pause() as pause:
        pause.arm(held[0].fileno(), select.POLLIN)
        pause.arm(others[0].fileno(), select.POLLIN)
        others[1].send(b"x")
        assert pause.wait(soon())
        pause.disarm(others[0].fileno())
        assert not pause.wait(time.monotonic())
        held[1].send(b"x")
        assert pause.wait(soon())


def test_several_pauses_on_one_descriptor_are_told_what_each_asked_for(room, held):
    woken = []

    def wait(name: str, events: int) -> None:
        server, client = socket.socketpair()
        with server, client, room.waiter(server.fileno()).pause() as pause:
            pause.arm(held[0].fileno(), events)
            if pause.wait(soon()):
                woken.append(name)

    waiting = [gevent.spawn(wait, name, select.POLLIN) for name in ("first", "second")]
    urgent = gevent.spawn(wait, "hang-up", select.POLLRDHUP)
    give_way()
    held[1].send(b"x")
    gevent.joinall(waiting)
    assert sorted(woken) == ["first", "second"]
    held[1].close()
    urgent.join()
    assert woken[-1] == "hang-up"


def test_arming_for_somebody_who_sleeps_wakes(waiter, held):
    """As the next in a socket's queue is armed by the one that leaves."""
    held[1].send(b"x")
    with waiter.pause() as pause:
        gevent.spawn(pause.arm, held[0].fileno(), select.POLLIN)
        assert pause.wait(soon())


def test_ring_before_the_wait_is_not_lost(waiter):
    with waiter.pause() as pause:
        pause.ring()
        assert pause.wait(soon())
        assert not pause.wait(time.monotonic())


def test_ring_wakes(waiter):
    with waiter.pause() as pause:
        gevent.spawn(pause.ring)
        assert pause.wait(soon())


def test_pipelined_bytes_neither_wake_nor_spin(waiter, http):
    http[1].send(b"GET / HTTP/1.1\r\n\r\n")
    with waiter.pause() as pause:
        woken = []
        assert loop_rounds(lambda: woken.append(pause.wait(time.monotonic() + 0.1))) < 20
        assert woken == [False]


def test_data_that_nobody_takes_does_not_spin(waiter, held):
    held[1].send(b"x")
    with waiter.pause() as pause:
        pause.arm(held[0].fileno(), select.POLLIN)
        assert pause.wait(soon())
        assert loop_rounds(lambda: gevent.sleep(0.1)) < 20


def test_give_way_lets_new_requests_in_even_when_others_do_nothing_else(held):
    """sleep(0) runs its sleepers up to a thousand times before the loop looks at descriptors again."""
    rounds = 0
    is_served = False

    def busy() -> None:
        nonlocal rounds
        while not is_served and rounds < 100_000:
            rounds += 1
            give_way()

    def serve() -> None:
        nonlocal is_served
        get_hub().wait(watcher)
        is_served = True

    watcher = get_hub().loop.io(held[0].fileno(), 1)
    all_busy = [gevent.spawn(busy) for _ in range(4)]
    serving = gevent.spawn(serve)
    give_way()
    held[1].send(b"x")
    rounds = 0
    gevent.joinall([*all_busy, serving])
    watcher.close()
    assert rounds < 100
