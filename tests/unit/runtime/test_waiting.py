"""The waiting room keeps the promises of ``core.seams`` with greenlets, and never spins."""

from __future__ import annotations

import math
import os
import select
import socket
import time
from typing import TYPE_CHECKING

import gevent
import pytest
from gevent.hub import get_hub

from socketd.core.seams import EDGE
from socketd.errors import ClientGoneError, KernelRefusedError, ShuttingDownError, TooManyWaitsError
from socketd.runtime.waiting import WaitingRoom, give_way

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd.core.seams import Waiter
    from socketd.runtime.waiting import RequestWaiter

    def conforms(waiter: RequestWaiter) -> Waiter:
        return waiter


LONG_S = 60.0  # never waited out: what is tested comes before


@pytest.fixture(scope="module", autouse=True)
def _hub() -> Iterator[None]:
    """Open the loop's own descriptors before the leak gate looks."""
    hub = get_hub()
    give_way()
    yield
    hub.destroy(destroy_loop=True)


@pytest.fixture
def room() -> Iterator[WaitingRoom]:
    room = WaitingRoom(max_waits=100)
    yield room
    assert room.count == 0
    room.close()


@pytest.fixture
def held() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def http() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The daemon's end of an HTTP connection, and the client's."""
    server, client = socket.socketpair()
    with server, client:
        yield server, client


@pytest.fixture
def waiter(room, http) -> RequestWaiter:
    return room.waiter(http[0].fileno())


def soon() -> float:
    return time.monotonic() + LONG_S


def loop_rounds(run) -> int:
    """Return how often the loop turned while ``run`` ran."""
    rounds = 0

    def count() -> None:
        nonlocal rounds
        rounds += 1

    watcher = get_hub().loop.check()
    watcher.start(count)
    try:
        run()
    finally:
        watcher.stop()
        watcher.close()
    return rounds


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


def test_disarmed_and_closed_by_another_while_somebody_sleeps(waiter):
    ours, theirs = socket.socketpair()
    number = ours.fileno()

    def close() -> None:
        pause.disarm(number)
        ours.close()
        pause.ring()

    with theirs, waiter.pause() as pause:
        pause.arm(number, select.POLLIN)
        gevent.spawn(close)
        assert pause.wait(soon())
        pause.disarm(number)
        assert not pause.wait(time.monotonic())


def test_duplicate_held_elsewhere_does_not_wake_after_disarm(waiter, held):
    """epoll registers the description: one that lives on in a duplicate would be told for ever."""
    number = os.dup(held[0].fileno())
    with waiter.pause() as pause:
        pause.arm(number, select.POLLIN)
        pause.disarm(number)
        os.close(number)
        held[1].send(b"x")
        assert not pause.wait(time.monotonic())
        assert loop_rounds(lambda: gevent.sleep(0.05)) < 10


def test_closed_before_disarm_is_harmless(waiter):
    ours, theirs = socket.socketpair()
    with theirs, waiter.pause() as pause:
        number = ours.fileno()
        pause.arm(number, select.POLLIN)
        ours.close()
        pause.disarm(number)
        assert not pause.wait(time.monotonic())


def test_what_epoll_cannot_watch_is_refused_by_its_errno(waiter, tmp_path):
    with (tmp_path / "file").open("wb") as file, waiter.pause() as pause:
        with pytest.raises(KernelRefusedError) as caught:
            pause.arm(file.fileno(), select.POLLIN)
        assert caught.value.symbol == "EPERM"
        assert not pause.wait(time.monotonic())


def test_ring_before_the_wait_is_not_lost(waiter):
    with waiter.pause() as pause:
        pause.ring()
        assert pause.wait(soon())
        assert not pause.wait(time.monotonic())


def test_ring_wakes(waiter):
    with waiter.pause() as pause:
        gevent.spawn(pause.ring)
        assert pause.wait(soon())


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
