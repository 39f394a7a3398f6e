"""What is said becomes few messages, in the order in which it was said."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from socketd.core.owner import Owner
from socketd.core.table import Origin
from socketd.keeper import protocol
from socketd.keeper.protocol import Commit, Forget, Store, Update
from socketd.runtime.keeping.groups import Groups
from socketd.runtime.keeping.parcels import CommitParcel, Outbox
from tests.held import Held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from socketd.core.entry import Entry
    from socketd.keeper.protocol import FromDaemon

    Make = Callable[..., Entry]


@pytest.fixture
def house() -> Iterator[Held]:
    held = Held()
    yield held
    held.service.close()


@pytest.fixture
def make(house) -> Make:
    def one(name: str | None = None) -> Entry:
        return house.service.table.hold(socket.socket(), Origin(Owner(0), name))

    return one


def drained(outbox: Outbox) -> list[FromDaemon | None]:
    messages = []
    while outbox:
        messages.append(outbox.first().message())
        outbox.drop_first()
    return messages


def numbers(message: FromDaemon | None) -> list[int]:
    assert isinstance(message, Store | Update)
    return [record.number for record in message.records]


def test_neighbours_of_a_kind_share_a_message(make):
    outbox, entries = Outbox(), [make() for _ in range(3)]
    for entry in entries:
        outbox.store(entry, 0)
    outbox.update(entries[0])
    outbox.update(entries[0])
    outbox.forget(7)
    outbox.forget(8)
    outbox.put(CommitParcel(5))
    store, update, forget, commit = drained(outbox)
    assert numbers(store) == [entry.fd for entry in entries]
    assert numbers(update) == [entries[0].fd]
    assert forget == Forget((8, 7)) or forget == Forget((7, 8))
    assert commit == Commit(5)


def test_order_among_kinds_is_kept(make):
    outbox, entry = Outbox(), make()
    outbox.forget(entry.fd)
    outbox.store(entry, 0)
    outbox.forget(entry.fd)
    assert [type(message) for message in drained(outbox)] == [Forget, Store, Forget]


def test_groups_are_not_mixed(make):
    outbox = Outbox()
    for group in (0, 1, 1, 2):
        outbox.store(make(), group)
    messages = drained(outbox)
    assert [message.group for message in messages] == [0, 1, 2]


def test_what_is_closed_before_it_is_sent_is_left_out(make, house):
    outbox, entries = Outbox(), [make() for _ in range(2)]
    for entry in entries:
        parcel = outbox.store(entry, 0)
    house.service.table.close(entries[0])
    assert numbers(parcel.message()) == parcel.descriptors() == [entries[1].fd]
    house.service.table.close(entries[1])
    assert parcel.message() is None


def test_message_is_never_fuller_than_the_protocol_allows(make):
    outbox, entry = Outbox(), make()
    entry.name = "n" * 3000
    for _ in range(50):
        outbox.store(entry, 0)
    messages = drained(outbox)
    assert sum(len(numbers(message)) for message in messages) == 50
    for message in messages:
        assert len(protocol.encode(message, 1)) <= protocol.MOST_BYTES
    entry.name = None
    for _ in range(protocol.MOST_DESCRIPTORS + 1):
        outbox.store(entry, 0)
    assert [len(numbers(message)) for message in drained(outbox)] == [protocol.MOST_DESCRIPTORS, 1]
    for number in range(protocol.MOST_LISTED + 1):
        outbox.forget(number)
    assert len(drained(outbox)) == 2


def test_withdrawn_number_is_neither_forgotten_nor_changed(make):
    outbox, entry = Outbox(), make()
    outbox.forget(entry.fd)
    outbox.update(entry)
    outbox.withdraw(entry.fd)
    assert drained(outbox) == [None, None]


def test_group_is_told_again_until_it_is_held(make):
    groups, outbox, entry = Groups(), Outbox(), make()
    number = groups.begin()
    groups.add(number, entry)
    groups.tell(outbox)
    assert [type(message) for message in drained(outbox)] == [Store]
    assert groups.complete(number)
    groups.tell(outbox)
    assert [type(message) for message in drained(outbox)] == [Store, Commit]
    assert groups.staged() == {entry.fd}
    assert list(groups.close(number)) == [entry]
    groups.tell(outbox)
    assert not outbox
    assert not groups.staged()


def test_group_that_came_to_nothing_is_no_more(make):
    groups, entry = Groups(), make()
    number = groups.begin()
    groups.add(number, entry)
    groups.drop(entry.fd)
    assert not groups.complete(number)
    assert not groups.complete(groups.begin())
