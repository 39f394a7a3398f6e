"""The end of a flow reaches the loop: in its thread, in a greenlet that may wait."""

from __future__ import annotations

import posix
import socket
import threading
from typing import TYPE_CHECKING

import gevent
import pytest
from gevent.event import Event

from socketd.runtime.pumping.hop import LoopHop
from socketd.runtime.pumping.pump import SplicePump
from tests.unit.runtime.hub import _hub

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["_hub"]  # a fixture

LONG_S = 30.0  # never waited out: what is tested comes before


@pytest.fixture
def hop() -> Iterator[LoopHop]:
    made = LoopHop()
    yield made
    made.close()


def test_end_is_told_in_the_thread_of_the_loop_and_may_wait_there(hop):
    pump = SplicePump(hop, posix.close)
    ended, told = Event(), []

    def on_end() -> None:
        told.append(threading.get_ident())
        gevent.sleep(0)
        ended.set()

    first, second = socket.socketpair(), socket.socketpair()
    try:
        flow = pump.join(first[1].fileno(), second[1].fileno(), on_end)
        for end in (first[0], second[0]):
            end.shutdown(socket.SHUT_WR)
        assert ended.wait(LONG_S)
        assert told == [threading.get_ident()]
        assert flow.ending is not None
        assert flow.ending.is_whole
        assert pump.count == 0
    finally:
        pump.close()
        for each in (*first, *second):
            each.close()


def test_what_comes_from_other_threads_is_done_in_its_order(hop):
    done: list[int] = []
    ended = Event()

    def tell() -> None:
        for number in range(100):
            hop(lambda number=number: done.append(number))
        hop(ended.set)

    telling = threading.Thread(target=tell)
    telling.start()
    assert ended.wait(LONG_S)
    telling.join()
    assert done == list(range(100))
