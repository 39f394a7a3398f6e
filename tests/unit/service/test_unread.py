"""What a client has not read: waited for as long as some of it goes, and not for one that reads nothing."""

from __future__ import annotations

import socket
import time

from socketd.service.unread import Unread
from tests.joined import fill

BOUND_S = 30.0


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return listener.accept()[0], client


def test_patience_ends_for_one_who_reads_nothing():
    left, right = tcp_pair()
    with left, right:
        fill(left)
        unread = Unread(left.fileno(), 0.05)
        deadline = time.monotonic() + BOUND_S
        while not unread.is_over:
            assert time.monotonic() < deadline
        assert unread.count()


def test_patience_begins_anew_when_some_of_it_has_gone():
    left, right = tcp_pair()
    with left, right:
        fill(left)
        unread = Unread(left.fileno(), 2.0)
        deadline = time.monotonic() + BOUND_S
        while not unread.is_over:
            assert time.monotonic() < deadline
        before = unread.count()
        while unread.count() == before:
            assert right.recv(65_536)
        assert not unread.is_over


def test_nothing_is_left_where_all_was_read():
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"x")
        unread = Unread(left.fileno(), BOUND_S)
        assert unread.count()
        assert right.recv(10) == b"x"
        assert unread.count() == 0
