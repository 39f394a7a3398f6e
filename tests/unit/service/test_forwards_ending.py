"""How forwards end, who may know of them, and what is told: the journal, the keeper, the figures."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from socketd.errors import (
    ClientGoneError,
    KernelRefusedError,
    ShuttingDownError,
    TooManyWaitsError,
    UnknownForwardError,
)
from socketd.service import changes
from socketd.service.bygone import MOST_OF_ONE, REMEMBERED_S
from socketd.service.journal import decoded
from tests.held import ANN, BOB, Held, new_pump, specification
from tests.joined import PATIENCE_S, Ends, fill, read, unread
from tests.recording_keeper import RecordingKeeper
from tests.system.place import await_true
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ThreadPoolExecutor

MESSAGE = b"across"
MANY = 100
RESETTING = struct.pack("ii", 1, 0)  # SO_LINGER


@pytest.fixture
def ends(held: Held) -> Iterator[Ends]:
    made = Ends(held)
    yield made
    made.close()


def told(held: Held, *kinds: str) -> list[changes.Change]:
    found = [decoded(record) for record in held.service.journal.read(held.service.journal.oldest, 4096)]
    return [change for change in found if change.kind in kinds]


# How it ends.


def test_a_stop_leaves_both_sockets_usable(held: Held, ends: Ends):
    forward = ends.join()
    ends.left.sendall(MESSAGE)
    assert read(ends.right, len(MESSAGE)) == MESSAGE
    stopped = held.service.forwards.stop(held.call(), forward.id)
    assert (stopped.state, stopped.undelivered) == ("ended", (0, 0))
    assert (ends.first.flow, ends.first.forwarded, ends.second.forwarded) == (None, False, False)
    ends.left.sendall(b"again")
    assert ends.first.sock.recv(5) == b"again"
    assert held.service.forwards.stop(held.call(), forward.id) is stopped


def test_a_stop_tells_what_nobody_took(held: Held, ends: Ends):
    sent = moved = 0

    def is_in_hand() -> bool:
        nonlocal sent
        sent += fill(ends.left)
        return sent - moved - forward.moved[0] - unread(ends.first) > 0

    for _ in range(MANY):  # what is in hand may still be given, while nobody's buffer is full
        forward = ends.join()
        await_true(is_in_hand, lambda: "nothing is taken")
        stopped = held.service.forwards.stop(held.call(), forward.id, 0)
        moved += stopped.moved[0]
        if stopped.undelivered[0]:
            break
    lost, lost_back = stopped.undelivered
    assert lost > 0
    assert lost_back == 0
    assert moved + lost + unread(ends.first) == sent
    assert stopped.ending is not None
    assert not stopped.ending.is_whole
    halves = [change.forward.lost_bytes for change in told(held, changes.FORWARD_ENDED) if change.forward]
    assert halves[-2:] == [0, lost]


def test_the_close_of_one_socket_ends_it_and_the_other_is_kept(held: Held, ends: Ends):
    forward = ends.join()
    held.service.sockets.close(held.call(), ends.first.reference, shut_duplicates=False)
    assert ends.ended(forward).state == "ended"
    assert not ends.second.closed
    assert ends.left.recv(1) == b""


def test_with_close_the_other_socket_goes_with_the_first(held: Held, ends: Ends):
    forward = ends.join("close")
    held.service.sockets.close(held.call(), ends.first.reference, shut_duplicates=False)
    assert ends.ended(forward).state == "ended"
    assert (ends.first.closed, ends.second.closed) == (True, True)
    assert ends.right.recv(1) == b""
    assert [change.entry for change in told(held, changes.CLOSED)] == [ends.second, ends.first]


def test_with_close_both_are_closed_after_both_ends_of_file(held: Held, ends: Ends):
    forward = ends.join("close")
    ends.left.shutdown(socket.SHUT_WR)
    ends.right.shutdown(socket.SHUT_WR)
    ended = ends.ended(forward)
    assert ended.ending is not None
    assert ended.ending.is_whole
    assert len(held.table) == 0


def test_with_close_a_stop_closes_both(held: Held, ends: Ends):
    forward = ends.join("close")
    held.service.forwards.stop(held.call(), forward.id)
    assert len(held.table) == 0
    assert [change.caller is None for change in told(held, changes.CLOSED)] == [False, False]


def test_a_reset_of_one_side_is_told_and_ends_the_other(held: Held, ends: Ends):
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = held.make(specification(connect=f"127.0.0.1:{server.getsockname()[1]}"))
        peer, _ = server.accept()
        forward = held.service.forwards.create(held.call(), near.reference, ends.second.reference, "keep")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
        peer.close()
    ended = ends.ended(forward)
    assert ended.ending is not None
    assert ended.ending.error is not None
    assert ended.ending.error.symbol == "ECONNRESET"
    assert not ended.ending.is_whole
    assert ends.right.recv(1) == b""


@pytest.mark.parametrize("is_cut", [False, True])
def test_the_daemons_end_closes_nothing(is_cut: bool):  # noqa: FBT001 - a parameter of the test
    pump = new_pump()
    held = Held(pump=pump)
    ends = Ends(held)
    forward = ends.join("close")
    if is_cut:
        pump.close()
    else:
        pump.finish()
    assert ends.ended(forward).state == "ended"
    assert (ends.first.closed, ends.second.closed) == (False, False)
    ends.left.sendall(MESSAGE)
    assert ends.first.sock.recv(100) == MESSAGE
    with pytest.raises(ShuttingDownError):
        ends.join()
    assert (ends.first.flow, ends.first.forwarded, held.service.forwards.running) == (None, False, 0)
    ends.close()
    held.service.close()
    pump.close()


# Who is told, and of what.


def test_whoever_waits_is_woken_by_the_end(held: Held, ends: Ends, threads: ThreadPoolExecutor):
    forward = ends.join()
    waiting = threads.submit(held.service.forwards.wait, held.call(), forward.id, PATIENCE_S)
    await_true(lambda: bool(forward.waiting), lambda: "nobody waits")
    ends.left.close()
    ends.right.close()
    assert waiting.result(PATIENCE_S).state == "ended"
    assert not forward.waiting


def test_a_wait_of_nothing_answers_at_once(held: Held, ends: Ends):
    forward = ends.join()
    assert held.service.forwards.wait(held.call(), forward.id, 0).state == "running"
    assert held.service.forwards.wait(held.call(), forward.id, 0.001).state == "running"


def test_nothing_is_lost_when_whoever_stops_it_leaves(held: Held, ends: Ends):
    near, far = socket.socketpair()
    forward = ends.join()
    with near:
        sent = fill(ends.left)
        far.close()
        with pytest.raises(ClientGoneError):
            held.service.forwards.stop(held.call(waiter=PollWaiter(near.fileno())), forward.id)
    arrived = bytearray()

    def has_ended() -> bool:
        is_settled = forward.is_settled
        with suppress(BlockingIOError):
            while True:
                arrived.extend(ends.right.recv(1 << 20))
        return is_settled

    ends.right.setblocking(False)  # noqa: FBT003 - the socket module's signature
    await_true(has_ended, lambda: f"{len(arrived)} of {sent} bytes arrived")
    assert forward.undelivered == (0, 0)
    assert len(arrived) == sent - unread(ends.first)


def test_who_has_no_wait_left_can_stop_one_at_once(held: Held, ends: Ends):
    forward = ends.join()
    full = PollWaiter(max_waits=0)
    with pytest.raises(TooManyWaitsError):
        held.service.forwards.stop(held.call(waiter=full), forward.id)
    assert forward.state == "running"
    assert held.service.forwards.stop(held.call(waiter=full), forward.id, 0).state == "ended"


def test_forwards_are_their_owners_business(held: Held, ends: Ends):
    ends.first.owner = ends.second.owner = held.call(ANN).caller.owner
    forward = ends.join(uid=ANN)
    assert held.service.forwards.get(held.call(ANN), forward.id) is forward
    assert held.service.forwards.all(held.call()) == [forward]
    assert held.service.forwards.all(held.call(BOB)) == []
    for ask in (held.service.forwards.get, held.service.forwards.stop):
        with pytest.raises(UnknownForwardError):
            ask(held.call(BOB), forward.id)
    with pytest.raises(UnknownForwardError):
        held.service.forwards.get(held.call(), "000000000000")


def test_the_journal_tells_of_each_socket(held: Held, ends: Ends):
    forward = ends.join()
    ends.left.sendall(MESSAGE)
    assert read(ends.right, len(MESSAGE)) == MESSAGE
    held.service.forwards.stop(held.call(), forward.id)
    started, ended = told(held, changes.FORWARD_STARTED), told(held, changes.FORWARD_ENDED)
    assert [change.entry for change in started] == [change.entry for change in ended]
    halves = [change.forward for change in ended]
    assert halves == [
        changes.Half(forward.id, ends.second.fd),
        changes.Half(forward.id, ends.first.fd, len(MESSAGE)),
    ]
    assert all(change.caller is not None for change in ended)


def test_a_refused_forward_is_in_the_journal(held: Held):
    left, _ = held.pair()
    other = held.tcp()
    with pytest.raises(KernelRefusedError):
        held.service.forwards.create(held.call(), left.reference, other.reference, "keep")
    (change,) = told(held, changes.FORWARD_STARTED)
    assert (change.event, change.result, change.reference) == ("refused", "ENOTCONN", left.reference)
    assert change.asked == other.reference


def test_the_keeper_knows_while_bytes_may_be_with_us_only():
    keeper = RecordingKeeper()
    held = Held(keeper=keeper)
    ends = Ends(held)
    forward = ends.join()
    assert [keeper.copies[entry.fd].note.forwarded for entry in forward.entries] == [True, True]
    held.service.forwards.stop(held.call(), forward.id)
    assert [keeper.copies[entry.fd].note.forwarded for entry in forward.entries] == [False, False]
    ends.close()
    held.service.close()
    keeper.close()


def test_ended_ones_are_remembered_a_while(held: Held, ends: Ends):
    forward = ends.join()
    held.service.forwards.stop(held.call(), forward.id)
    assert held.service.forwards.all(held.call()) == [forward]
    held.clock.now += REMEMBERED_S
    assert held.service.forwards.all(held.call()) == []
    with pytest.raises(UnknownForwardError):
        held.service.forwards.get(held.call(), forward.id)


def test_of_many_the_newest_are_remembered(held: Held, ends: Ends):
    made = []
    for _ in range(MOST_OF_ONE + 1):
        made.append(ends.join())
        held.service.forwards.stop(held.call(), made[-1].id)
    assert held.service.forwards.all(held.call()) == made[1:]


def test_the_figures_count_them(held: Held, ends: Ends):
    forward = ends.join()
    ends.left.sendall(MESSAGE)
    assert read(ends.right, len(MESSAGE)) == MESSAGE
    await_true(lambda: forward.moved == (len(MESSAGE), 0), lambda: str(forward.moved))
    figures = held.service.counting.read(held.call())
    assert (figures.forwards, figures.forwarded_bytes) == (1, len(MESSAGE))
    held.service.forwards.stop(held.call(), forward.id)
    figures = held.service.counting.read(held.call())
    assert (figures.forwards, figures.forwarded_bytes) == (0, len(MESSAGE))
