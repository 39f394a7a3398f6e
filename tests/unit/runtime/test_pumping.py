"""The pump moves bytes between real sockets: half-closes, resets, slow readers, stops, and what it owns."""

from __future__ import annotations

import errno
import os
import posix
import socket
import struct
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from socketd.errors import KernelRefusedError, ShuttingDownError
from socketd.runtime.pumping import pipes
from socketd.runtime.pumping.direction import BULK_BYTES, TURN_BYTES
from socketd.runtime.pumping.engine import Engine
from socketd.runtime.pumping.joint import Joint
from socketd.runtime.pumping.side import Side
from socketd.runtime.pumping.workshop import Workshop
from tests.conftest import newly_open, open_descriptors
from tests.held import new_pump

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from socketd.core.pumping import Ending
    from socketd.runtime.pumping.pump import SplicedFlow, SplicePump

LONG_S = 30.0  # never waited out: what is tested comes before
BIG = os.urandom(1 << 20) * 5 + b"odd"
RESET = struct.pack("ii", 1, 0)


def tcp() -> tuple[socket.socket, socket.socket]:
    """Connect two TCP sockets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far


PAIRS: dict[str, Callable[[], tuple[socket.socket, socket.socket]]] = {
    "tcp": tcp,
    "unix": socket.socketpair,
}


@dataclass
class Joined:
    """A flow between ``inner_a`` and ``inner_b``, with somebody at ``a`` and at ``b``."""

    pump: SplicePump
    a: socket.socket
    inner_a: socket.socket
    inner_b: socket.socket
    b: socket.socket
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        for each in (self.a, self.b):
            each.settimeout(LONG_S)
        for inner in (self.inner_a, self.inner_b):
            os.set_blocking(inner.fileno(), False)

    def begin(self, early: bytes = b"", *, is_guest: bool = False) -> SplicedFlow:
        """Join them."""
        self.flow = self.pump.join(
            self.inner_a.fileno(), self.inner_b.fileno(), self.ended.set, early, is_guest=is_guest
        )
        return self.flow

    def ending(self) -> Ending:
        """Wait for the end."""
        assert self.ended.wait(LONG_S)
        assert self.flow.ending is not None
        return self.flow.ending

    def fill(self) -> int:
        """Send to ``b``, which does not read, until all is full; return how much."""
        count = 0
        self.a.settimeout(0.3)
        while True:
            try:
                count += self.a.send(BIG)
            except TimeoutError:
                self.a.settimeout(LONG_S)
                return count


@pytest.fixture
def pump() -> Iterator[SplicePump]:
    made = new_pump()
    yield made
    made.close()


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=["tcp-tcp", "tcp-unix", "unix-tcp", "unix-unix"])
def joined(request: pytest.FixtureRequest, pump: SplicePump, sockets: ExitStack) -> Joined:
    first, second = (PAIRS[name]() for name in request.param.split("-"))
    for each in (*first, *second):
        sockets.enter_context(closing(each))
    return Joined(pump, first[0], first[1], second[0], second[1])


@pytest.fixture
def over_tcp(pump: SplicePump, sockets: ExitStack) -> Joined:
    first, second = tcp(), tcp()
    for each in (*first, *second):
        sockets.enter_context(closing(each))
    return Joined(pump, first[0], first[1], second[0], second[1])


def read_all(sock: socket.socket) -> bytes:
    """Read up to the end of file."""
    parts = []
    while part := sock.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def read(sock: socket.socket, count: int) -> bytes:
    """Read so much."""
    with sock.makefile("rb", buffering=0) as file:
        parts = []
        while count and (part := file.read(count)):
            count -= len(part)
            parts.append(part)
    return b"".join(parts)


def in_background(call: Callable[[], object]) -> threading.Thread:
    """Do it in a thread, which the test joins."""
    thread = threading.Thread(target=call)
    thread.start()
    return thread


# --- bytes and half-closes ------------------------------------------------------------------------------


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


# --- who breaks off -------------------------------------------------------------------------------------


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


# --- stopping -------------------------------------------------------------------------------------------


def test_stop_is_over_on_return_and_counts_every_byte(joined):
    flow = joined.begin()
    sent = joined.fill()
    flow.stop()
    assert joined.ended.is_set()
    ending = joined.ending()
    moved, left = flow.moved[0], ending.undelivered[0]
    joined.b.settimeout(0.2)
    got = _available(joined.b)
    assert got == moved
    assert moved + left + _available(joined.inner_a) == sent
    flow.stop()  # harmless


def _available(sock: socket.socket) -> int:
    """Count what can be read until nothing comes."""
    count = 0
    while True:
        try:
            part = sock.recv(1 << 20)
        except (BlockingIOError, TimeoutError):
            return count
        count += len(part)


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
        got += _available(over_tcp.b)
    ending = over_tcp.ending()
    assert (ending.undelivered, ending.is_whole, ending.error) == ((0, 0), False, None)
    assert got + _available(over_tcp.b) == flow.moved[0]
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


# --- bounds and fairness --------------------------------------------------------------------------------


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


# --- a turn that does not end -----------------------------------------------------------------------------


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
