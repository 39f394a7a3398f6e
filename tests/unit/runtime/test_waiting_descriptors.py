"""Descriptors that are disarmed, closed or duplicated while somebody waits for them."""

from __future__ import annotations

import os
import select
import socket
import time

import gevent
import pytest

from socketd.errors import KernelRefusedError
from tests.unit.runtime.hub import _hub
from tests.unit.runtime.waiting_rooms import held, http, loop_rounds, room, soon, waiter

__all__ = ["_hub", "held", "http", "room", "waiter"]  # fixtures


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
