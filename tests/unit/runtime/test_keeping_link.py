"""What the link says to its keeper: one message for what belongs together, and who waits for the answer."""

from __future__ import annotations

import socket

import gevent

from socketd.core.entry import Note
from socketd.core.owner import Owner
from socketd.keeper.protocol import Ack, Commit, Forget, Kept, Record, Store, Update
from socketd.runtime.keeping.notes import encode
from socketd.runtime.keeping.post import WINDOW
from tests.held import FIRST
from tests.unit.runtime.hub import _hub
from tests.unit.runtime.scripted_keeper import LONG_S, couple, joined, keeper

__all__ = ["_hub", "couple", "joined", "keeper"]  # fixtures


def test_store_and_confirm_are_one_message_and_one_answer(joined):
    entry = joined.created()
    assert entry.kept == "keeper"
    assert joined.keeper.has_heard_all()


def test_confirm_of_nothing_does_not_wait(joined):
    joined.link.confirm()


def test_supervisors_copies_are_told(couple):
    couple.join(store="systemd")
    entry = couple.created()
    couple.keeper.say(Kept(((entry.fd, True), (FIRST + 999, True))))
    couple.until_kept(entry, "systemd")
    couple.keeper.say(Kept(((entry.fd, False),)))
    couple.until_kept(entry, "keeper")


def test_confirm_waits_for_what_was_said_here_and_not_for_others(joined):
    entry = joined.created()
    closing = gevent.spawn(lambda: (joined.service.table.close(entry), joined.link.confirm()))
    sequence, forget = joined.keeper.hear(Forget)
    assert forget == Forget((entry.fd,))
    joined.created()  # while the other waits for the supervisor's word
    assert not closing.ready()
    joined.keeper.say(Ack(sequence))
    closing.get(timeout=LONG_S)


def test_changed_note_goes_out_without_a_confirm(joined):
    entry = joined.created()
    entry.taken = 3
    joined.link.update(entry)
    (record,) = joined.keeper.do(Update).records
    assert record == Record(entry.fd, encode(entry.note()))


def test_only_so_many_messages_are_ahead(joined):
    for _ in range(WINDOW + 4):
        joined.hold(group=joined.link.group())  # each a group, and so a message, of its own
    joined.link._post.flush()  # noqa: SLF001 - what a confirm does first
    sequences = [joined.keeper.hear(Store)[0] for _ in range(WINDOW)]
    assert joined.keeper.has_heard_all()
    joined.keeper.say(Ack(sequences[0]))
    joined.keeper.hear(Store)
    assert joined.keeper.has_heard_all()


def test_accepted_connection_goes_before_what_waits(joined):
    for _ in range(WINDOW + 1):
        joined.hold(group=joined.link.group())
    joined.link._post.flush()  # noqa: SLF001 - as above
    with socket.socket() as accepted:
        joined.link.forget(FIRST + 500)
        joined.link.expect(FIRST + 500, Note(Owner(0), 1.0)).store(accepted.fileno())
    sequences = [joined.keeper.hear(Store)[0] for _ in range(WINDOW)]
    sequence, message = joined.keeper.hear(Store)
    assert message == Store(0, (Record(FIRST + 500, encode(Note(Owner(0), 1.0))),))
    for each in (*sequences, sequence):
        joined.keeper.say(Ack(each))
    joined.keeper.hear(Store)
    assert joined.keeper.has_heard_all()  # what was to be said of the number's last bearer is not said


def test_group_is_committed_once_and_marked_then(joined):
    group = joined.link.group()
    entries = [joined.hold(group) for _ in range(3)]
    confirming = gevent.spawn(joined.link.confirm, group)
    assert joined.keeper.do(Store).group == group
    assert entries[0].kept == "daemon"
    assert joined.keeper.do(Commit) == Commit(group)
    confirming.get(timeout=LONG_S)
    assert {entry.kept for entry in entries} == {"keeper"}
