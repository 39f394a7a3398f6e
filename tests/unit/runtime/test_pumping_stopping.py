"""Flows that are stopped or finished: what was moved, what was not, and what stays open."""

from __future__ import annotations

import pytest

from socketd.errors import ShuttingDownError
from tests.unit.runtime.flows import available, joined, over_tcp, pump, read, sockets

__all__ = ["joined", "over_tcp", "pump", "sockets"]  # fixtures


def test_stop_is_over_on_return_and_counts_every_byte(joined):
    flow = joined.begin()
    sent = joined.fill()
    flow.stop()
    assert joined.ended.is_set()
    ending = joined.ending()
    moved, left = flow.moved[0], ending.undelivered[0]
    joined.b.settimeout(0.2)
    got = available(joined.b)
    assert got == moved
    assert moved + left + available(joined.inner_a) == sent
    flow.stop()  # harmless


def test_stopped_sockets_stay_open(joined):
    joined.begin().stop()
    joined.inner_a.send(b"mine again")
    assert read(joined.a, 10) == b"mine again"


def test_finish_delivers_what_was_taken_and_no_more(over_tcp):
    flow = over_tcp.begin()
    over_tcp.fill()
    flow.finish()
    over_tcp.b.settimeout(0.01)
    got = 0
    while not over_tcp.ended.is_set():
        got += available(over_tcp.b)
    ending = over_tcp.ending()
    assert (ending.undelivered, ending.is_whole, ending.error) == ((0, 0), False, None)
    assert got + available(over_tcp.b) == flow.moved[0]
    assert over_tcp.inner_a.recv(1)  # left where it was


def test_finish_of_an_idle_flow_ends_it(joined):
    joined.begin().finish()
    assert joined.ending().undelivered == (0, 0)
    joined.inner_b.send(b"open")
    assert joined.b.recv(4) == b"open"


def test_closed_pump_shuts_down_where_bytes_are_lost_and_refuses_new_flows(over_tcp):
    over_tcp.begin()
    over_tcp.fill()
    over_tcp.pump.finish()
    over_tcp.pump.close()
    assert over_tcp.ending().undelivered[0] > 0
    assert over_tcp.inner_b.recv(1) == b""
    with pytest.raises(ShuttingDownError):
        over_tcp.begin()
