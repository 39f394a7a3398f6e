"""The journal: one record a change, one a refusal, numbered; readers see what they may, and learn of gaps."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from socketd.core import address_text
from socketd.core.owner import Owner
from socketd.core.receiving import Wanted
from socketd.core.table import Origin
from socketd.errors import (
    ClientGoneError,
    InvalidRequestError,
    KernelRefusedError,
    NotPermittedError,
    SocketdError,
    TooManyFollowersError,
    UnknownSocketError,
    WouldBlockError,
)
from socketd.service.attaching import Message
from socketd.service.following import BATCH, MOST, MOST_OF_ONE, Gap
from socketd.service.guard import Fixed
from socketd.service.journal import KEPT, decoded
from tests.held import ANN, BOB, LOOPBACK, ROOT, Held, specification, where
from tests.policies import policy
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.service.changes import Change
    from socketd.service.following import Follower


def told(held: Held) -> list[Change]:
    """Everything that is kept."""
    journal = held.service.journal
    return [decoded(record) for record in journal.read(journal.oldest, KEPT)]


def kinds(held: Held) -> list[str]:
    return [change.event for change in told(held)]


def follow(held: Held, uid: int = ROOT, after: int | None = None) -> Follower:
    return held.service.following.begin(held.call(uid), after, lambda: None)


def test_making_a_socket_is_a_change_for_each_thing_it_becomes(held: Held):
    held.make(specification(bind=LOOPBACK, backlog=1, options={"SO_REUSEADDR": True}), name="web")
    assert kinds(held) == ["created", "option_set", "bound", "listening"]


def test_a_change_tells_who_did_what_to_which_socket_and_where(held: Held):
    listener = held.listener(uid=ANN, name="web")
    change = told(held)[-1]
    assert (change.caller, change.entry) == (held.call(ANN).caller, listener)
    assert (change.event, change.result) == ("listening", "ok")
    assert address_text.text(change.address) == where(listener)
    assert change.at == held.clock.time()


def test_an_accepted_connection_tells_its_peer(held: Held):
    listener = held.listener()
    with socket.create_connection(listener.sock.getsockname()) as client:
        held.service.sockets.accept(held.call(), listener.reference, 10, 1, None)
        change = told(held)[-1]
        assert (change.event, change.address.sockaddr) == ("accepted", client.getsockname())


CHANGES: dict[str, tuple[str, Callable[[Held, str], object]]] = {
    "bind": ("bound", lambda h, ref: h.service.operations.bind(h.call(), ref, address_text.parse(LOOPBACK))),
    "listen": ("listening", lambda h, ref: h.service.operations.listen(h.call(), ref, 1)),
    "set_option": (
        "option_set",
        lambda h, ref: h.service.operations.set_option(h.call(), ref, "SO_KEEPALIVE", 1),
    ),
    "close": ("closed", lambda h, ref: h.service.sockets.close(h.call(), ref, shut_duplicates=False)),
    "delete": ("closed", lambda h, _: h.service.names.delete(h.call(), "web")),
    "release": ("released", lambda h, ref: h.service.passing.release(h.call(), [h.table.find(ref)])),
}


@pytest.mark.parametrize(("kind", "do"), CHANGES.values(), ids=CHANGES)
def test_every_verb_that_changes_something_is_one_record(
    held: Held, kind: str, do: Callable[[Held, str], object]
):
    entry = held.tcp(name="web")
    before = held.service.journal.last
    do(held, entry.reference)
    (record,) = held.service.journal.read(before, KEPT)
    assert (decoded(record).event, decoded(record).entry) == (kind, entry)


def test_connecting_and_shutting_down_are_told_with_whom_and_how(held: Held):
    listener, entry = held.listener(), held.tcp()
    peer = address_text.parse(where(listener))
    held.service.operations.connect(held.call(), entry.reference, peer, 10)
    held.service.operations.shutdown(held.call(), entry.reference, socket.SHUT_WR)
    connected, shut = told(held)[-2:]
    assert (connected.event, connected.address) == ("connected", peer)
    assert (shut.event, shut.how) == ("shut_down", "SHUT_WR")


def test_reading_is_no_change(held: Held):
    left, right = held.pair()
    before = held.service.journal.last
    held.service.sockets.get(held.call(), left.reference)
    held.service.operations.info(held.call(), left.reference)
    held.service.transfers.send(held.call(), left.reference, [Message(b"x")], 0, 1)
    held.service.transfers.receive(held.call(), right.reference, Wanted(1), 1)
    assert held.service.journal.last == before


def test_what_the_kernel_refuses_is_told_with_what_was_asked(held: Held):
    taken = where(held.listener())
    entry = held.tcp()
    with pytest.raises(KernelRefusedError):
        held.service.operations.bind(held.call(), entry.reference, address_text.parse(taken))
    change = told(held)[-1]
    assert (change.event, change.kind, change.result) == ("refused", "bound", "EADDRINUSE")
    assert (change.asked, change.entry, change.address) == (taken, entry, None)


def test_a_refused_making_leaves_one_record_and_no_socket(held: Held):
    taken = where(held.listener())
    before = held.service.journal.last
    with pytest.raises(KernelRefusedError):
        held.make(specification(bind=taken, backlog=1))
    (record,) = held.service.journal.read(before, KEPT)
    assert (decoded(record).event, decoded(record).kind, decoded(record).asked) == (
        "refused",
        "created",
        taken,
    )


def test_a_bulk_that_fails_is_told_as_it_went(held: Held):
    held.tcp(name="web.2")
    before = held.service.journal.last
    with pytest.raises(SocketdError):
        held.service.sockets.create_many(held.call(), specification(), Origin(Owner(0), "web"), 3, 1)
    events = [decoded(record).event for record in held.service.journal.read(before, KEPT)]
    assert events == ["created", "created", "closed", "closed", "refused"]


@pytest.mark.parametrize(
    "error", [WouldBlockError("accept"), ClientGoneError(), InvalidRequestError("no")], ids=type
)
def test_what_did_not_happen_yet_is_no_refusal(held: Held, error: SocketdError):
    held.service.journal.refuse(held.call(), "accepted", error)
    assert kinds(held) == []


def test_a_refusal_is_told_once_however_many_parts_it_passes(held: Held):
    error = NotPermittedError("no")
    for _ in range(2):
        held.service.journal.refuse(held.call(), "created", error)
    assert kinds(held) == ["refused"]
    assert held.service.journal.refusals == {("created", "EPERM"): 1}


def test_a_socket_of_another_is_not_in_the_record_of_who_was_told_that_there_is_none(held: Held):
    theirs = held.tcp(uid=BOB)
    with pytest.raises(UnknownSocketError):
        held.service.operations.listen(held.call(ANN), theirs.reference, 1)
    change = told(held)[-1]
    assert (change.entry, change.reference, change.owner) == (None, theirs.reference, Owner(ANN))


def test_the_end_of_the_daemon_closes_by_nobody():
    held = Held()
    held.tcp()
    held.service.close()
    change = told(held)[-1]
    assert (change.event, change.caller) == ("closed", None)


SOMEWHERE = address_text.parse("192.0.2.1:9")
NEAR = address_text.parse(LOOPBACK)
NOT_GRANTED: dict[str, tuple[str, Callable[[Held, str], object]]] = {
    "bind": ("bound", lambda h, ref: h.service.operations.bind(h.call(ANN), ref, NEAR)),
    "connect": ("connected", lambda h, ref: h.service.operations.connect(h.call(ANN), ref, SOMEWHERE, 0)),
    "send": (
        "sent",
        lambda h, ref: h.service.transfers.send(h.call(ANN), ref, [Message(b"x", SOMEWHERE)], 0, 0),
    ),
    "option": ("option_set", lambda h, ref: h.service.operations.set_option(h.call(ANN), ref, "SO_MARK", 1)),
    "create": ("created", lambda h, _: h.make(specification(bind=LOOPBACK), uid=ANN)),
    "name": ("created", lambda h, _: h.tcp(uid=ANN, name="web")),
    "bulk": (
        "created",
        lambda h, _: h.service.sockets.create_many(
            h.call(ANN), specification(), Origin(Owner(ANN), "web"), 2, 1
        ),
    ),
}


@pytest.mark.parametrize(("kind", "do"), NOT_GRANTED.values(), ids=NOT_GRANTED)
def test_what_the_policy_does_not_grant_is_one_record_that_says_what(
    kind: str, do: Callable[[Held, str], object]
):
    held = Held(policies=Fixed(policy('[[rule]]\nname = "ann"\nanyone = true\nfamilies = "*"\ntypes = "*"')))
    try:
        mine = held.make(specification(kind=socket.SOCK_DGRAM), uid=ANN)
        before = held.service.journal.last
        with pytest.raises(NotPermittedError) as caught:
            do(held, mine.reference)
        (record,) = held.service.journal.read(before, KEPT)
        change = decoded(record)
        assert (change.event, change.kind, change.result) == ("refused", kind, caught.value.symbol)
        assert change.reason == str(caught.value)
    finally:
        held.service.close()


def test_numbers_rise_and_a_later_daemon_begins_above(held: Held):
    held.pair()
    numbers = [change.sequence for change in told(held)]
    assert numbers == [numbers[0], numbers[0] + 1]
    later = Held()
    later.clock.now += 1
    assert Held().service.journal.last < int((later.clock.time()) * 1_000_000)


def test_a_reader_sees_its_own_sockets_and_root_all(held: Held):
    readers = {uid: follow(held, uid) for uid in (ROOT, ANN, BOB)}
    held.tcp(uid=ANN)
    seen = {uid: [each.event for each in reader.read()] for uid, reader in readers.items()}
    assert seen == {ROOT: ["created"], ANN: ["created"], BOB: []}
    assert readers[BOB].position == held.service.journal.last


def test_an_owner_learns_who_else_has_closed_its_socket(held: Held):
    theirs = held.tcp(uid=ANN)
    reader = follow(held, ANN)
    held.service.sockets.close(held.call(ROOT), theirs.reference, shut_duplicates=False)
    (change,) = reader.read()
    assert (change.event, change.caller.uid) == ("closed", ROOT)


def fill(held: Held, count: int) -> None:
    entry = held.tcp()
    for _ in range(count):
        held.service.journal.note(held.call(), "option_set", entry, "SO_MARK")


def all_of(reader: Follower) -> list[Change | Gap]:
    found = []
    for _ in range(KEPT // BATCH + 2):
        found += reader.read()
    assert not reader.has_more
    return found


def test_a_slow_reader_is_told_what_it_has_missed(held: Held):
    reader = follow(held)
    began = reader.position
    fill(held, KEPT + 9)
    gap, first, *rest = all_of(reader)
    assert gap == Gap(began, held.service.journal.oldest)
    assert first.sequence == gap.upto + 1
    assert len(rest) == KEPT - 1


def test_reading_all_that_is_kept_announces_a_gap_only_where_something_is_missing(held: Held):
    fill(held, 3)
    assert [each.event for each in follow(held, after=0).read()] == ["created", *["option_set"] * 3]
    fill(held, KEPT)
    assert isinstance(follow(held, after=0).read()[0], Gap)


@pytest.mark.parametrize("away", [-1000, 1000])
def test_the_number_of_another_daemon_is_a_gap_and_then_all_there_is(held: Held, away: int):
    held.tcp()
    gap, change = follow(held, after=held.service.journal.last + away).read()
    assert (gap.upto, change.event) == (held.service.journal.oldest, "created")


def test_a_change_wakes_who_waits_for_it(held: Held):
    reader = follow(held)
    waiter = PollWaiter()
    with waiter.pause() as pause:
        assert not reader.wait(pause, 0)
        held.service.journal.wake(pause)
        held.tcp()
        assert pause.wait(held.patience().deadline)


def test_readers_are_bounded_for_one_and_for_all(held: Held):
    own = [follow(held, ANN) for _ in range(MOST_OF_ONE)]
    with pytest.raises(TooManyFollowersError):
        follow(held, ANN)
    own.pop().__exit__()
    follow(held, ANN)
    for uid in range(2000, 2000 + (MOST - MOST_OF_ONE) // MOST_OF_ONE):
        for _ in range(MOST_OF_ONE):
            follow(held, uid)
    with pytest.raises(TooManyFollowersError):
        follow(held, BOB)
    assert len(held.service.following) == MOST


def test_a_reader_that_takes_nothing_is_hung_up_on(held: Held):
    ended = []
    reader = held.service.following.begin(held.call(), None, lambda: ended.append(True))
    held.service.following.end_stalled()
    assert ended == []
    reader.is_sending = True
    held.service.following.end_stalled()
    assert ended == [True]


def test_the_figures_are_for_who_may_see_all(held: Held):
    held.tcp()
    figures = held.service.counting.read(held.call(ROOT))
    assert figures.sockets == {(socket.AF_INET, socket.SOCK_STREAM): 1}
    assert figures.done["created"] == 1
    with pytest.raises(NotPermittedError):
        held.service.counting.read(held.call(ANN))
