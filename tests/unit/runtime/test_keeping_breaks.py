"""After a break the keeper gets what it misses and no more, and nobody waits for one that stays away."""

from __future__ import annotations

import errno
import socket

import gevent

from socketd.core.entry import Note
from socketd.core.owner import Owner
from socketd.keeper.protocol import Commit, Forget, Missing, Mode, Ping, Refused, Retain, Store, Update
from tests.held import FIRST
from tests.unit.runtime.hub import _hub
from tests.unit.runtime.scripted_keeper import LONG_S, couple, joined, keeper

__all__ = ["_hub", "couple", "joined", "keeper"]  # fixtures


def test_group_that_was_being_made_is_made_again_after_a_break(joined):
    group = joined.link.group()
    entry = joined.hold(group)
    confirming = gevent.spawn(joined.link.confirm, group)
    joined.keeper.do(Store)
    joined.keeper.hear(Commit)  # whether it was done nobody knows: the link breaks
    assert joined.resume().identities == ()
    assert joined.keeper.do(Store).group == group
    assert joined.keeper.do(Commit) == Commit(group)
    joined.keeper.do(Ping)
    confirming.get(timeout=LONG_S)
    assert entry.kept == "keeper"


def test_after_a_break_the_keeper_gets_what_it_misses_and_no_more(joined):
    there, lost, closed, changed = (joined.created() for _ in range(4))
    joined.keeper.hang_up()
    joined.until_kept(there, "daemon")
    assert joined.link.state() == "away"
    joined.service.table.close(closed)
    changed.taken = 1
    joined.link.update(changed)
    new = joined.hold()
    with socket.socket() as accepted:
        joined.link.expect(FIRST + 77, Note(Owner(0), 1.0)).store(accepted.fileno())  # comes to nothing
    retain = joined.resume(lost.fd)
    assert [number for number, _ in retain.identities] == [there.fd, lost.fd, changed.fd, new.fd]
    assert [record.number for record in joined.keeper.do(Store).records] == [lost.fd]
    assert [record.number for record in joined.keeper.do(Update).records] == [changed.fd]
    joined.keeper.do(Ping)
    joined.until_up()
    assert {entry.kept for entry in (there, lost, changed, new)} == {"keeper"}


def test_what_happens_while_they_compare_is_told_afterwards(joined):
    old = joined.created()
    joined.keeper.hang_up()
    joined.keeper.welcome(Mode.RESUME)
    _, retain = joined.keeper.hear(Retain)
    assert retain.identities == ((old.fd, old.inode),)
    joined.service.table.close(old)
    new = joined.hold()
    joined.keeper.say(Missing((), is_last=True))
    assert joined.keeper.do(Forget) == Forget((old.fd,))
    assert [record.number for record in joined.keeper.do(Store).records] == [new.fd]
    joined.keeper.do(Ping)
    joined.until_up()


def test_note_that_was_on_its_way_when_it_broke_is_sent_again(joined):
    entry = joined.created()
    entry.taken = 1
    joined.link.update(entry)
    joined.keeper.hear(Update)
    joined.resume()
    assert [record.number for record in joined.keeper.do(Update).records] == [entry.fd]


def test_confirm_waits_for_a_keeper_that_is_soon_back(joined):
    entry = joined.created()
    confirming = gevent.spawn(lambda: (joined.service.table.close(entry), joined.link.confirm()))
    joined.keeper.hear(Forget)
    assert joined.resume().identities == ()
    assert not confirming.ready()
    joined.keeper.do(Ping)
    confirming.get(timeout=LONG_S)


def test_confirm_goes_on_without_a_keeper_that_stays_away(joined):
    entry = joined.hold()
    confirming = gevent.spawn(joined.link.confirm)
    joined.keeper.hear(Store)
    joined.keeper.hang_up()
    confirming.get(timeout=LONG_S)
    assert entry.kept == "daemon"
    joined.link.confirm()


def test_break_while_they_settle_is_mended_as_well(joined):
    entry = joined.created()
    joined.resume(entry.fd)
    joined.keeper.hear(Store)
    joined.keeper.say(Refused(errno.EMFILE, "full"))
    assert joined.resume(entry.fd).identities == ((entry.fd, entry.inode),)
    joined.keeper.do(Store)
    joined.keeper.do(Ping)
    joined.until_up()
    assert entry.kept == "keeper"
