"""What the pump holds, what it refuses, and that no flow keeps another waiting."""

from __future__ import annotations

import os
import posix
import socket
import threading
import time
from contextlib import closing

import pytest

from socketd.errors import KernelRefusedError
from socketd.runtime.pumping import pipes
from socketd.runtime.pumping.direction import BULK_BYTES, TURN_BYTES
from socketd.runtime.pumping.engine import Engine
from socketd.runtime.pumping.joint import Joint
from socketd.runtime.pumping.side import Side
from socketd.runtime.pumping.workshop import Workshop
from tests.conftest import newly_open, open_descriptors
from tests.unit.runtime.flows import (
    BIG,
    LONG_S,
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


def test_flows_beyond_the_pipes_are_served(pump, sockets):
    slow = []
    for _ in range(pipes.MOST + 4):
        made = Joined(pump, *(sockets.enter_context(closing(each)) for each in (*tcp(), *tcp())))
        made.inner_b.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        made.a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        made.begin()
        made.a.settimeout(0)
        slow.append((made, made.a.send(bytes(1 << 20))))
    for made, sent in slow:
        assert len(read(made.b, sent)) == sent


def test_flow_that_never_ends_lets_others_through(pump, sockets):
    busy, other = (
        Joined(pump, *(sockets.enter_context(closing(each)) for each in (*tcp(), *tcp()))) for _ in range(2)
    )
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            busy.a.sendall(BIG)
        busy.a.shutdown(socket.SHUT_WR)

    busy.begin()
    other.begin()
    sending, reading = in_background(send), in_background(lambda: read_all(busy.b))
    for number in range(50):
        other.a.sendall(b"%d," % number)
        assert other.b.recv(10) == b"%d," % number
    stop.set()
    sending.join()
    reading.join()
    assert busy.flow.moved[0] > TURN_BYTES


def test_without_flows_no_descriptor_is_open(joined):
    before = open_descriptors()
    joined.begin()
    assert "anon_inode:[eventpoll]" in newly_open(before).values()
    joined.flow.stop()
    assert not newly_open(before)


@pytest.mark.parametrize(
    ("make", "symbol"),
    [
        (lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET), "EOPNOTSUPP"),
        (lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM), "EOPNOTSUPP"),
        (lambda: (socket.socket(), socket.socket()), "ENOTCONN"),
    ],
)
def test_other_sockets_are_refused_and_nothing_is_left_open(pump, sockets, make, symbol):
    good, bad = tcp(), make()
    for each in (*good, *bad):
        sockets.enter_context(closing(each))
    with pytest.raises(KernelRefusedError) as caught:
        pump.join(good[0].fileno(), bad[0].fileno(), lambda: None)
    assert caught.value.symbol == symbol


def test_number_that_is_no_socket_is_refused(pump, sockets):
    reader, writer = os.pipe()
    sockets.callback(posix.close, reader)
    sockets.callback(posix.close, writer)
    with pytest.raises(KernelRefusedError) as caught:
        pump.join(reader, writer, lambda: None)
    assert caught.value.symbol == "ENOTSOCK"


class Unseen(Side):
    """One whose O_NONBLOCK was cleared right after we looked."""

    def can_wait(self) -> bool:
        return False


def test_turn_that_waits_in_splice_is_ended_and_others_go_on(over_tcp, sockets):
    workshop = Workshop(posix.close)
    workshop.pipes.grow(2)
    sockets.callback(workshop.pipes.close)
    sides = []
    for inner in (over_tcp.inner_a, over_tcp.inner_b):
        os.set_blocking(inner.fileno(), True)
        sides.append(Unseen.of(inner.fileno()))
        sockets.callback(sides[-1].sock.close)
    joint = Joint(sides[0], sides[1], b"", workshop)
    joint.on_over = over_tcp.ended.set
    engine = Engine()
    sockets.callback(engine.close)
    over_tcp.a.sendall(bytes(BULK_BYTES))
    engine.add(joint)  # after so many bytes it splices, finds nothing, and waits for more
    deadline = time.monotonic() + LONG_S
    while not over_tcp.ended.is_set():
        assert time.monotonic() < deadline
        engine.free()
    assert len(read_all(over_tcp.b)) == BULK_BYTES
    engine.end(joint)  # answered again, and harmless
