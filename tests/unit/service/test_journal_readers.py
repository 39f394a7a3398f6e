"""Readers of the journal see what they may, learn of gaps, and are bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from socketd.errors import TooManyFollowersError
from socketd.service.following import BATCH, MOST, MOST_OF_ONE, Gap
from socketd.service.journal import KEPT
from tests.held import ANN, BOB, ROOT
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from socketd.service.changes import Change
    from socketd.service.following import Follower
    from tests.held import Held


def follow(held: Held, uid: int = ROOT, after: int | None = None) -> Follower:
    return held.service.following.begin(held.call(uid), after, lambda: None)


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
