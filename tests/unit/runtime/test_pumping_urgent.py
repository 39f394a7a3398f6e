"""Urgent data in a flow: splice(2) does not get past its mark, and takes that for the end or for EAGAIN."""

from __future__ import annotations

import os
import socket

from tests.unit.runtime.flows import Joined, over_tcp, pump, read, read_all, sockets

__all__ = ["over_tcp", "pump", "sockets"]  # fixtures
BEFORE, BEHIND = os.urandom(100_000), os.urandom(200_000)


def say(joined: Joined) -> None:
    """Have all of it be there before the flow begins."""
    joined.a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    joined.inner_a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    joined.a.sendall(BEFORE)
    joined.a.send(b"!", socket.MSG_OOB)
    joined.a.sendall(BEHIND)


def test_what_stands_behind_it_comes_before_the_end(over_tcp):
    say(over_tcp)
    over_tcp.a.shutdown(socket.SHUT_WR)
    over_tcp.begin()
    over_tcp.b.shutdown(socket.SHUT_WR)
    assert read_all(over_tcp.b) == BEFORE + BEHIND
    assert over_tcp.ending().is_whole


def test_what_stands_behind_it_comes_without_an_end(over_tcp):
    say(over_tcp)
    over_tcp.begin()
    assert read(over_tcp.b, len(BEFORE + BEHIND)) == BEFORE + BEHIND


def test_what_comes_behind_it_later_is_taken(over_tcp):
    over_tcp.begin()
    for _ in range(3):
        over_tcp.a.sendall(BEFORE)
        over_tcp.a.send(b"!", socket.MSG_OOB)
        assert read(over_tcp.b, len(BEFORE)) == BEFORE
        over_tcp.a.sendall(BEHIND)
        assert read(over_tcp.b, len(BEHIND)) == BEHIND
