"""The pump moves bytes between real sockets: all of them, both ways, and each end of file."""

from __future__ import annotations

import os
import socket
from contextlib import closing

import pytest

from tests.unit.runtime.flows import (
    BIG,
    Joined,
    in_background,
    joined,
    over_tcp,
    pump,
    read,
    read_all,
    sockets,
    tcp,
)

__all__ = ["joined", "over_tcp", "pump", "sockets"]  # fixtures


def test_bytes_go_both_ways_whole_and_end_of_file_is_passed_on_each_way(joined):
    flow = joined.begin()

    def send() -> None:
        joined.a.sendall(BIG)
        joined.a.shutdown(socket.SHUT_WR)

    sending = in_background(send)
    assert read_all(joined.b) == BIG
    sending.join()
    answering = in_background(lambda: joined.b.sendall(BIG[::-1]))  # the other direction is open still
    assert read(joined.a, len(BIG)) == BIG[::-1]
    answering.join()
    assert flow.ending is None
    joined.b.shutdown(socket.SHUT_WR)
    assert joined.a.recv(1) == b""
    ending = joined.ending()
    assert (ending.error, ending.is_whole, ending.undelivered) == (None, True, (0, 0))
    assert flow.moved == (len(BIG), len(BIG))


def test_early_bytes_come_first(joined):
    joined.a.sendall(b"later")
    joined.begin(b"early ")
    assert read(joined.b, 11) == b"early later"
    joined.flow.stop()
    assert joined.flow.moved == (11, 0)


def test_end_of_file_that_was_there_before_the_flow_is_passed_on(joined):
    joined.a.sendall(b"last")
    joined.a.shutdown(socket.SHUT_WR)
    joined.b.shutdown(socket.SHUT_WR)
    joined.begin()
    assert read_all(joined.b) == b"last"
    assert joined.ending().is_whole


def test_blocking_sockets_do_not_stop_the_pump(joined, sockets):
    other = Joined(joined.pump, *(sockets.enter_context(closing(each)) for each in (*tcp(), *tcp())))
    joined.begin()
    for inner in (joined.inner_a, joined.inner_b):
        os.set_blocking(inner.fileno(), True)  # as a taker may
    joined.fill()
    other.begin()
    other.a.sendall(b"through")
    assert read(other.b, 7) == b"through"
    assert os.get_blocking(joined.inner_a.fileno())  # it is the taker's business


def test_taker_may_flip_blocking_while_bytes_are_in_a_pipe(over_tcp):
    over_tcp.begin()
    sent = over_tcp.fill()
    os.set_blocking(over_tcp.inner_b.fileno(), True)
    over_tcp.a.shutdown(socket.SHUT_WR)
    assert len(read_all(over_tcp.b)) == sent


@pytest.mark.parametrize("joined", ["unix-tcp", "unix-unix"], indirect=True)
def test_descriptors_between_the_bytes_are_closed(joined):
    reader, writer = os.pipe()
    socket.send_fds(joined.a, [b"with"], [writer])
    os.close(writer)
    joined.begin()
    assert read(joined.b, 4) == b"with"
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b""  # nobody has the other end any more
