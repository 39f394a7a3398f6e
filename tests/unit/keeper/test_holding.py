"""What a daemon can have held, changed and forgotten."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress

from socketd.keeper.protocol import (
    Ack,
    Commit,
    Forget,
    Missing,
    Mode,
    Ping,
    Record,
    Retain,
    Store,
    Update,
    Welcome,
)
from tests.unit.keeper.parties import fetched, has_ended, inode, until


def retained(daemon, *identities):
    """Send the list of all a daemon has; return what the keeper misses."""
    daemon.say(Retain(identities, is_last=True))
    answer = daemon.hear(Missing)
    assert answer.is_last
    return list(answer.numbers)


def test_an_empty_keeper_says_so(connect):
    daemon = connect(Mode.FETCH)
    assert daemon.welcome == Welcome(1, 0, 0, "")
    assert daemon.fetch() == {}


def test_a_stored_socket_outlives_the_daemon_with_number_note_and_inode(connect, pair):
    ours, theirs = pair
    daemon = connect()
    daemon.store(64, ours.fileno(), b"anything at all \xff\0")
    theirs.send(b"unread")
    wanted = inode(ours.fileno())
    daemon.close()
    ours.close()
    successor = connect(Mode.FETCH)
    assert successor.welcome == Welcome(1, 1, 64, "")
    note, fd = successor.fetch()[64]
    assert note == b"anything at all \xff\0"
    assert inode(fd) == wanted
    assert not os.get_inheritable(fd)
    assert os.read(fd, 6) == b"unread"


def test_what_is_forgotten_is_closed_when_it_is_acknowledged(connect, pair):
    ours, theirs = pair
    daemon = connect()
    daemon.store(64, ours.fileno())
    ours.close()
    assert not has_ended(theirs)
    daemon.do(Forget((64, 65, 64)))
    assert has_ended(theirs)


def test_the_highest_number_is_remembered_when_it_is_forgotten(connect, pair):
    daemon = connect()
    daemon.store(70, pair[0].fileno())
    daemon.store(64, pair[0].fileno())
    daemon.do(Forget((70,)))
    daemon.close()
    assert connect().welcome == Welcome(1, 1, 70, "")


def test_a_note_can_be_changed(keeper, connect, pair):
    daemon = connect()
    daemon.store(64, pair[0].fileno(), b"before")
    daemon.do(Update((Record(64, b"after"), Record(99, b"unknown"))))
    daemon.close()
    assert fetched(keeper.path) == {64: b"after"}


def test_storing_a_number_again_replaces_what_it_was(connect, pair):
    first, theirs = pair
    daemon = connect()
    daemon.store(64, first.fileno(), b"first")
    first.close()
    with socket.socket() as second:
        daemon.store(64, second.fileno(), b"second")
        assert has_ended(theirs)
        daemon.close()
        successor = connect(Mode.FETCH)
        note, fd = successor.fetch()[64]
        assert (note, inode(fd)) == (b"second", inode(second.fileno()))


def test_a_group_is_held_once_it_is_committed(keeper, connect, pair):
    daemon = connect()
    daemon.store(64, pair[0].fileno(), b"a", group=1)
    daemon.store(65, pair[1].fileno(), b"b", group=1)
    daemon.do(Update((Record(65, b"c"),)))
    daemon.do(Commit(1))
    daemon.do(Commit(1))
    daemon.close()
    assert fetched(keeper.path) == {64: b"a", 65: b"c"}


def test_what_is_staged_ends_with_the_connection(keeper, connect, pair):
    ours, theirs = pair
    daemon = connect()
    daemon.store(64, ours.fileno(), group=1)
    ours.close()
    daemon.close()
    until(lambda: has_ended(theirs), "the staged socket is closed")
    assert fetched(keeper.path) == {}


def test_groups_do_not_mix(keeper, connect, pair):
    daemon = connect()
    daemon.store(64, pair[0].fileno(), b"a", group=1)
    daemon.store(65, pair[1].fileno(), b"b", group=2)
    daemon.do(Commit(2))
    daemon.close()
    assert fetched(keeper.path) == {65: b"b"}


def test_a_number_is_staged_in_the_group_named_last(keeper, connect, pair):
    daemon = connect()
    daemon.store(64, pair[0].fileno(), b"a", group=1)
    daemon.store(64, pair[1].fileno(), b"b", group=2)
    daemon.do(Commit(1))
    assert retained(daemon, (64, inode(pair[1].fileno()))) == [64]
    daemon.do(Commit(2))
    daemon.close()
    assert fetched(keeper.path) == {64: b"b"}


def test_what_is_staged_can_be_forgotten(keeper, connect, pair):
    ours, theirs = pair
    daemon = connect()
    daemon.store(64, ours.fileno(), group=1)
    ours.close()
    daemon.do(Forget((64,)))
    assert has_ended(theirs)
    daemon.do(Commit(1))
    daemon.close()
    assert fetched(keeper.path) == {}


def test_a_connection_that_ends_loses_its_groups_and_nothing_else(keeper, connect, pair):
    daemon = connect()
    daemon.store(64, pair[0].fileno())
    daemon.store(65, pair[1].fileno(), group=1)
    daemon.close()
    with_nothing_staged = connect()
    with_nothing_staged.do(Commit(1))
    with_nothing_staged.close()
    assert fetched(keeper.path) == {64: b""}


def test_retain_forgets_what_is_not_in_the_list_and_tells_what_is_missing(keeper, connect, pair):
    daemon = connect()
    first, second = pair
    daemon.store(64, first.fileno())
    daemon.store(65, second.fileno())
    daemon.say(Retain(((64, inode(first.fileno())),), is_last=False))
    daemon.say(Retain(((66, 1), (67, 2)), is_last=True))
    assert daemon.hear(Missing) == Missing((66, 67), is_last=True)
    daemon.close()
    assert fetched(keeper.path) == {64: b""}


def test_retain_forgets_another_socket_with_the_same_number(keeper, connect, pair):
    daemon = connect()
    daemon.store(64, pair[0].fileno())
    assert retained(daemon, (64, inode(pair[1].fileno()))) == [64]
    daemon.close()
    assert fetched(keeper.path) == {}


def test_an_empty_list_retains_nothing(keeper, connect, pair):
    daemon = connect()
    daemon.store(64, pair[0].fileno())
    assert retained(daemon) == []
    daemon.close()
    assert fetched(keeper.path) == {}


def test_much_that_is_missing_comes_in_parts(connect):
    daemon = connect()
    numbers = range(1, 10_001)
    for start in range(0, 10_000, 4000):
        part = tuple((number, number) for number in numbers[start : start + 4000])
        daemon.say(Retain(part, is_last=start == 8000))
    found: list[int] = []
    is_last = False
    while not is_last:
        answer = daemon.hear(Missing)
        found += answer.numbers
        is_last = answer.is_last
    assert found == list(numbers)


def test_a_message_may_carry_200(keeper, connect, pair):
    daemon = connect()
    records = tuple(Record(number, b"n" * 100) for number in range(1, 201))
    daemon.do(Store(0, records), [pair[0].fileno()] * 200)
    daemon.close()
    assert fetched(keeper.path) == {record.number: record.note for record in records}


def test_batches_wait_for_their_acknowledgements(connect, pair):
    daemon = connect()
    for start in (1, 201, 401):
        records = tuple(Record(number, b"") for number in range(start, start + 200))
        daemon.do(Store(0, records), [pair[0].fileno()] * 200)
    daemon.close()
    successor = connect(Mode.FETCH)
    first, batch, descriptors = successor.receive()
    _, _, more = successor.receive()
    sequence = successor.say(Ping())
    assert successor.hear(Ack) == Ack(sequence), "a third batch came before any was acknowledged"
    for fd in descriptors + more:
        os.close(fd)
    assert len(batch.records) == 200
    successor.say(Ack(first))
    _, last, descriptors = successor.receive()
    assert last.is_last
    for fd in descriptors:
        os.close(fd)


def test_long_notes_are_cut_into_batches_by_their_bytes(connect, pair):
    daemon = connect()
    for number in range(1, 41):
        daemon.store(number, pair[0].fileno(), bytes([number]) * 4096)
    daemon.close()
    successor = connect(Mode.FETCH)
    assert {number: note for number, (note, _) in successor.fetch().items()} == {
        number: bytes([number]) * 4096 for number in range(1, 41)
    }


def test_what_is_forgotten_during_a_fetch_is_not_given(connect, pair):
    daemon = connect()
    for start in (1, 201, 401):
        records = tuple(Record(number, b"") for number in range(start, start + 200))
        daemon.do(Store(0, records), [pair[0].fileno()] * 200)
    daemon.close()
    successor = connect(Mode.FETCH)
    successor.say(Forget(tuple(range(401, 600))))
    got: dict[int, int] = {}
    is_last = False
    while not is_last:
        sequence, message, descriptors = successor.receive()
        if isinstance(message, Ack):
            continue
        got.update(zip((record.number for record in message.records), descriptors, strict=True))
        successor.say(Ack(sequence))
        is_last = message.is_last
    for fd in got.values():
        os.close(fd)
    assert sorted(got) == [*range(1, 401), 600]


def test_the_last_close_of_a_lingering_socket_holds_up_nobody(connect):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as ours:
        ours.connect(listener.getsockname())
        theirs, _ = listener.accept()
        with theirs:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 3600))
            with suppress(BlockingIOError):
                while True:
                    ours.send(bytes(65_536), socket.MSG_DONTWAIT)  # until some are left unsent, to wait for
            daemon = connect()
            daemon.store(64, ours.fileno())
            ours.close()
            daemon.do(Forget((64,)))
            daemon.do(Ping())
