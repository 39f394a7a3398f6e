"""Descriptors in messages: held, told to the keeper before they are taken, and nobody else's business."""

from __future__ import annotations

import os
import socket
from array import array
from typing import TYPE_CHECKING

import pytest

from socketd.core.control import RIGHTS
from socketd.core.receiving import Received, Wanted
from socketd.errors import (
    ClientGoneError,
    InvalidRequestError,
    KernelRefusedError,
    UnknownSocketError,
    WouldBlockError,
)
from socketd.service.attaching import Control, Message
from tests.held import ANN, BOB, ROOT, Held
from tests.recording_keeper import RecordingKeeper
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from socketd.core.entry import Entry

ASKED = Wanted(10, space=4096)


class Watching(RecordingKeeper):
    """Remembers, at each ``confirm``, how much of a socket is still to be received.

    Attributes:
        queue: The socket.
    """

    def __init__(self) -> None:
        super().__init__()
        self.queue: Entry | None = None
        self.seen: list[bytes] = []

    def confirm(self, group: int = 0) -> None:
        super().confirm(group)
        if self.queue is not None:
            try:
                self.seen.append(self.queue.sock.recv(10, socket.MSG_PEEK | socket.MSG_DONTWAIT))
            except BlockingIOError:
                self.seen.append(b"")


@pytest.fixture
def keeper() -> Iterator[Watching]:
    made = Watching()
    yield made
    made.close()


@pytest.fixture
def kept(keeper: Watching) -> Iterator[Held]:
    made = Held(keeper=keeper)
    yield made
    keeper.queue = None
    made.service.close()


def send(near: Entry, *socks: socket.socket, data: bytes = b"x") -> None:
    near.sock.sendmsg([data], [(*RIGHTS, array("i", [sock.fileno() for sock in socks]))])


def receive(held: Held, entry: Entry, uid: int = ROOT, key: str | None = None) -> Received:
    call = held.call(uid, key=key)
    return held.service.transfers.receive(call, entry.reference, ASKED, 0)[0]


def came(received: Received) -> list[Entry]:
    return [entry for each in received.messages[0].control for entry in each.sockets]


def pair_of(held: Held, uid: int) -> tuple[Entry, Entry]:
    left, right = held.service.sockets.pair(
        held.call(uid), socket.AF_UNIX, socket.SOCK_STREAM, 0, (None, None)
    )
    return left, right


def test_keeper_has_them_before_the_message_is_taken(kept: Held, keeper: Watching) -> None:
    near, far = kept.pair()
    with socket.socket() as foreign:
        send(near, foreign)
    keeper.queue = far
    (entry,) = came(receive(kept, far))
    assert keeper.seen[0] == b"x"
    assert entry.fd in keeper.copies


class Interrupted(RecordingKeeper):
    """Has another call receive while the first one waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] | None = None

    def confirm(self, group: int = 0) -> None:
        super().confirm(group)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()


def test_message_that_another_call_takes_meanwhile_is_held_for_that_one() -> None:
    keeper = Interrupted()
    held = Held(keeper=keeper)
    near, far = held.pair()
    with socket.socket() as foreign:
        send(near, foreign)
    got: list[Received] = []
    keeper.meanwhile = lambda: got.append(receive(held, far))
    before = len(held.table)
    with pytest.raises(WouldBlockError):
        receive(held, far)
    (entry,) = came(got[0])
    assert not entry.closed
    assert len(held.table) == before + 1
    held.service.close()
    keeper.close()


def test_successor_knows_what_the_request_had_held(kept: Held, keeper: Watching) -> None:
    near, far = kept.pair()
    with socket.socket() as foreign:
        send(near, foreign)
        duplicate = os.dup(foreign.fileno())
    call = kept.call(key="k")
    first = kept.service.transfers.receive(call, far.reference, ASKED, 0)
    near.sock.sendmsg([b"y"], [(*RIGHTS, array("i", [duplicate]))])
    os.close(duplicate)
    received, arrivals = kept.service.transfers.receive(kept.call(key="k"), far.reference, ASKED, 0)
    assert came(received) == came(first[0])
    assert arrivals.is_new(came(received)[0])
    assert keeper.told("store").count(came(received)[0].fd) == 1


def test_client_that_left_gets_nothing_and_nothing_is_held(held: Held) -> None:
    near, far = held.pair()
    with socket.socket() as foreign:
        send(near, foreign)
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        before = len(held.table)
        waiter = PollWaiter(ours.fileno())
        call = held.call(waiter=waiter)
        with pytest.raises(ClientGoneError):
            held.service.transfers.receive(call, far.reference, ASKED, 0)
    assert len(held.table) == before
    assert came(receive(held, far))


def test_what_another_caller_holds_is_closed_and_not_told(held: Held) -> None:
    near, far = pair_of(held, ANN)
    theirs = held.tcp(uid=BOB)
    near.sock.sendmsg([b"x"], [(*RIGHTS, array("i", [theirs.fd]))])
    (message,) = receive(held, far, ANN).messages
    assert (message.control, message.closed) == ((), 1)
    assert not theirs.closed


def test_number_of_another_caller_is_not_sent(held: Held) -> None:
    near, _ = pair_of(held, ANN)
    theirs = held.tcp(uid=BOB)
    message = Message(b"x", control=(Control(*RIGHTS, references=(theirs.reference,)),))
    with pytest.raises(UnknownSocketError):
        held.service.transfers.send(held.call(ANN), near.reference, [message], 0, 0)


def test_what_goes_out_is_noted_as_taken_once_it_went(held: Held) -> None:
    near, far = held.pair(socket.SOCK_DGRAM)
    sock = held.tcp()
    message = Message(b"x", control=(Control(*RIGHTS, references=(sock.reference,)),))
    for count in (1, 2):
        held.service.transfers.send(held.call(), near.reference, [message], 0, 0)
        assert sock.taken == count
    assert sock.taken_by is not None
    assert sock.taken_by.uid == ROOT
    assert came(receive(held, far)) == [sock]
    far.sock.shutdown(socket.SHUT_RD)
    with pytest.raises(KernelRefusedError, match="send"):
        held.service.transfers.send(held.call(), near.reference, [message], 0, 0)
    assert sock.taken == 2


def test_rights_without_sockets_are_refused(held: Held) -> None:
    near, _ = held.pair()
    message = Message(b"x", control=(Control(*RIGHTS, b"\0\0\0\0"),))
    with pytest.raises(InvalidRequestError):
        held.service.transfers.send(held.call(), near.reference, [message], 0, 0)


def test_stream_carries_control_with_its_first_byte_alone(held: Held) -> None:
    near, far = held.pair()
    sock = held.tcp()
    near.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    message = Message(bytes(1 << 20), control=(Control(*RIGHTS, references=(sock.reference,)),))
    sent = held.service.transfers.send(held.call(), near.reference, [message], 0, 0)
    assert not sent.is_complete
    assert sock.taken == 1
    total = rights = 0
    while total < sent.size:
        wanted = Wanted(1 << 16, space=4096)
        (got,) = held.service.transfers.receive(held.call(), far.reference, wanted, 0)[0].messages
        total += len(got.data)
        rights += len(got.control)
    assert rights == 1


def test_given_is_noted_of_what_is_new(held: Held) -> None:
    near, far = held.pair()
    known = held.tcp()
    with socket.socket() as foreign:
        near.sock.sendmsg([b"x"], [(*RIGHTS, array("i", [known.fd, foreign.fileno()]))])
    before = held.service.journal.done["given"]
    assert came(receive(held, far))[0] is known
    assert held.service.journal.done["given"] == before + 1
