"""Whoever breaks a flow off: resets, peers that leave, and guests, whose leaving is not told."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import closing

import pytest

from tests.unit.runtime.flows import BIG, RESET, Joined, joined, over_tcp, pump, read, read_all, sockets, tcp

__all__ = ["joined", "over_tcp", "pump", "sockets"]  # fixtures


def test_reset_of_one_side_ends_the_flow_and_shuts_down_the_other(over_tcp):
    over_tcp.begin()
    over_tcp.a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    over_tcp.a.close()
    assert over_tcp.b.recv(1) == b""
    ending = over_tcp.ending()
    assert ending.error is not None
    assert (ending.error.symbol, ending.is_whole) == ("ECONNRESET", False)
    with pytest.raises(OSError, match=os.strerror(errno.EPIPE)):
        over_tcp.inner_b.send(b"x")


def test_what_a_reader_that_breaks_off_did_not_get_is_told(over_tcp):
    flow = over_tcp.begin()
    over_tcp.fill()
    over_tcp.b.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    over_tcp.b.close()
    ending = over_tcp.ending()
    assert ending.error is not None
    assert not ending.is_whole
    assert ending.undelivered[0] > 0
    assert flow.moved[0] > 0


def test_bytes_that_came_before_a_full_close_are_delivered(joined):
    joined.begin()
    joined.a.sendall(BIG[:1000])
    joined.a.close()
    assert read_all(joined.b) == BIG[:1000]
    joined.b.close()
    assert not joined.ending().undelivered[0]


def test_unix_peer_that_leaves_ends_the_flow_although_the_other_side_is_silent(pump, sockets):
    for each in (made := Joined(pump, *socket.socketpair(), *tcp())).__dict__.values():
        if isinstance(each, socket.socket):
            sockets.enter_context(closing(each))
    made.begin()
    made.a.close()
    assert made.b.recv(1) == b""
    assert made.ending().error is None


def test_guest_that_leaves_is_not_told_to_the_other_side(pump, sockets):
    made = Joined(pump, *socket.socketpair(), *tcp())
    for each in (made.a, made.inner_a, made.inner_b, made.b):
        sockets.enter_context(closing(each))
    made.begin(is_guest=True)
    made.a.sendall(b"bye")
    made.a.close()
    assert not made.ending().is_whole
    assert read(made.b, 3) == b"bye"
    made.inner_b.send(b"still open")
    assert made.b.recv(100) == b"still open"


def test_last_words_of_a_guest_that_has_left_are_delivered_although_the_flow_is_stopped(pump, sockets):
    made = Joined(pump, *socket.socketpair(), *tcp())
    for each in (made.a, made.inner_a, made.inner_b, made.b):
        sockets.enter_context(closing(each))
    made.a.sendall(BIG[:100_000])
    made.a.close()
    made.begin(is_guest=True).stop()
    assert read(made.b, 100_000) == BIG[:100_000]


def test_guest_that_half_closes_is(pump, sockets):
    made = Joined(pump, *socket.socketpair(), *tcp())
    for each in (made.a, made.inner_a, made.inner_b, made.b):
        sockets.enter_context(closing(each))
    made.begin(is_guest=True)
    made.a.shutdown(socket.SHUT_WR)
    assert made.b.recv(1) == b""
    made.b.sendall(b"answer")
    made.b.shutdown(socket.SHUT_WR)
    assert read_all(made.a) == b"answer"
    assert made.ending().is_whole
