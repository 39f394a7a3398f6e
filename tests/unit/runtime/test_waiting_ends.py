"""A wait ends with its client, with the daemon and with its greenlet, and leaves nothing."""

from __future__ import annotations

import select
import socket
import time

import gevent
import pytest

from socketd.errors import ClientGoneError, ShuttingDownError, TooManyWaitsError
from socketd.runtime.waiting import WaitingRoom, give_way
from tests.unit.runtime.hub import _hub
from tests.unit.runtime.waiting_rooms import LONG_S, held, http, room, soon, waiter

__all__ = ["_hub", "held", "http", "room", "waiter"]  # fixtures


@pytest.mark.parametrize("how", ["close", "shutdown"])
def test_client_that_hangs_up_ends_the_wait(waiter, http, held, how):
    with waiter.pause() as pause:
        pause.arm(held[0].fileno(), select.POLLIN)
        gevent.spawn(http[1].close if how == "close" else lambda: http[1].shutdown(socket.SHUT_WR))
        with pytest.raises(ClientGoneError):
            pause.wait(soon())
        with pytest.raises(ClientGoneError):
            pause.wait(soon())


def test_hang_up_wins_over_data_of_the_same_round(waiter, http, held):
    def both() -> None:
        held[1].send(b"x")
        http[1].close()

    with waiter.pause() as pause:
        pause.arm(held[0].fileno(), select.POLLIN)
        gevent.spawn(both)
        with pytest.raises(ClientGoneError):
            pause.wait(soon())


def test_check_tells_a_client_that_hung_up(waiter, http):
    waiter.check()
    http[1].send(b"pipelined")
    waiter.check()
    http[1].close()
    with pytest.raises(ClientGoneError):
        waiter.check()


def test_check_on_a_connection_that_the_ending_daemon_has_shut_blames_no_client(room, waiter, http):
    http[0].shutdown(socket.SHUT_RD)
    room.shut()
    with pytest.raises(ShuttingDownError):
        waiter.check()


def test_shut_ends_every_wait_and_refuses_new_ones(room, held):
    ended = []

    def wait() -> None:
        server, client = socket.socketpair()
        with server, client, room.waiter(server.fileno()).pause() as pause:
            pause.arm(held[0].fileno(), select.POLLIN)
            try:
                pause.wait(soon())
            except ShuttingDownError:
                ended.append(pause)

    waiting = [gevent.spawn(wait) for _ in range(5)]
    give_way()
    assert room.count == 5
    room.shut()
    gevent.joinall(waiting)
    assert len(ended) == 5
    with pytest.raises(ShuttingDownError), room.waiter(held[0].fileno()).pause():
        pass


def test_one_wait_too_many_is_refused_and_an_ended_one_makes_room(http):
    room = WaitingRoom(max_waits=1)
    waiter = room.waiter(http[0].fileno())
    with waiter.pause(), pytest.raises(TooManyWaitsError), waiter.pause():
        pass
    with waiter.pause():
        assert room.count == 1
    assert room.count == 0
    room.close()


def test_killed_while_it_sleeps_leaves_nothing(room, waiter, held):
    def wait() -> None:
        with waiter.pause() as pause:
            pause.arm(held[0].fileno(), select.POLLIN)
            pause.wait(soon())

    sleeping = gevent.spawn(wait)
    give_way()
    assert room.count == 1
    sleeping.kill()
    assert room.count == 0
    held[1].send(b"x")
    give_way()


def test_half_open_wait_does_not_take_the_clients_end_of_file_for_its_leaving(room, held, http):
    ours, theirs = held
    server, client = http
    waiter = room.waiter(server.fileno()).half_open()
    client.shutdown(socket.SHUT_WR)
    waiter.check()
    with waiter.pause() as pause:
        pause.arm(ours.fileno(), select.POLLIN)
        theirs.send(b"x")
        assert pause.wait(time.monotonic() + LONG_S)


def test_half_open_wait_ends_with_the_daemon(room, http):
    server, _ = http
    waiter = room.waiter(server.fileno()).half_open()
    with waiter.pause() as pause:
        assert room.count == 1
        room.shut()
        with pytest.raises(ShuttingDownError):
            pause.wait(time.monotonic() + LONG_S)
