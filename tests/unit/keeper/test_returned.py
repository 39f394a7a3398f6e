"""Keepers that are killed, and what the next one makes of what the supervisor gives back."""

from __future__ import annotations

import os
import random
import select
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from socketd.keeper.notes import SLOT_BYTES, Notes
from socketd.keeper.protocol import Ack, Forget, Missing, Mode, Record, Retain, Store, Update
from tests.unit.keeper.keeper_process import DAEMON_FOLDER, KeeperProcess, from_store, keeping
from tests.unit.keeper.parties import Daemon, Manager, fetched, inode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def keeper(tmp_path: Path, manager: Manager) -> Iterator[KeeperProcess]:
    with keeping(tmp_path, manager, capacity=8) as started:
        yield started


def test_the_store_gives_everything_back_after_both_have_died(keeper, manager, pair):
    ours, theirs = pair
    with Daemon(keeper.path) as daemon:
        daemon.store(64, ours.fileno(), b"first")
        daemon.store(70, theirs.fileno(), b"second")
    stored = from_store(manager, 2)
    keeper.kill()
    theirs.send(b"queued")
    inodes = {64: inode(ours.fileno()), 70: inode(theirs.fileno())}
    ours.close()
    keeper.start(stored)
    with Daemon(keeper.path, Mode.FETCH) as successor:
        assert (successor.welcome.held, successor.welcome.last_number) == (2, 70)
        had = successor.fetch()
        assert {number: note for number, (note, _) in had.items()} == {64: b"first", 70: b"second"}
        assert {number: inode(fd) for number, (_, fd) in had.items()} == inodes
        assert os.read(had[64][1], 6) == b"queued"
        successor.hear_kept(70, is_kept=True)
        with socket.socket() as third:
            successor.store(71, third.fileno())
            assert "+s71" in manager.read_until("+s71")
    assert not [each for each in manager.said if each.startswith("-")]


def test_the_highest_number_outlives_both(keeper, manager, pair):
    with Daemon(keeper.path) as daemon:
        daemon.store(64, pair[0].fileno())
        daemon.store(99, pair[1].fileno())
        from_store(manager, 2)
        sequence = daemon.say(Forget((99,)))
        manager.read_until("barrier")
        manager.pass_barriers()
        assert daemon.hear(Ack) == Ack(sequence)
    stored = from_store(manager, 1)
    keeper.kill()
    keeper.start(stored)
    with Daemon(keeper.path) as successor:
        assert (successor.welcome.held, successor.welcome.last_number) == (1, 99)


def damage(notes_fd, index):
    """Spoil one byte of a slot's note."""
    os.pwrite(notes_fd, b"?", index * SLOT_BYTES + 100)


def test_a_damaged_slot_costs_its_own_socket_alone(keeper, manager, pair):
    with Daemon(keeper.path) as daemon, socket.socket() as third:
        for number, each in enumerate((*pair, third), 64):
            daemon.store(number, each.fileno(), b"n" * 200)
        stored = from_store(manager, 3)
    keeper.kill()
    damage(dict(stored)["notes"], 2)
    keeper.start(stored)
    assert sorted(fetched(keeper.path)) == [64, 66]
    assert "-s65" in manager.said or manager.read_until("-s65")
    assert "descriptor 's65' from the supervisor's store is closed: nothing is known of it" in keeper.log


def test_another_socket_under_a_known_name_is_closed(keeper, manager, pair):
    with Daemon(keeper.path) as daemon:
        daemon.store(64, pair[0].fileno())
        stored = dict(from_store(manager, 1))
    keeper.kill()
    stored["s64"] = pair[1].fileno()
    keeper.start(list(stored.items()))
    assert fetched(keeper.path) == {}
    assert "another socket" in keeper.log


def test_one_name_given_back_twice_is_stored_once_again(keeper, manager, pair):
    with Daemon(keeper.path) as daemon:
        daemon.store(64, pair[0].fileno(), b"note")
        stored = from_store(manager, 1)
    keeper.kill()
    keeper.start([*stored, ("s64", pair[1].fileno())])
    manager.read_until("+s64")
    assert fetched(keeper.path) == {64: b"note"}
    assert manager.inodes()["s64"] == inode(pair[0].fileno())
    assert len(manager.stored["s64"]) == 1


def test_without_its_notes_nothing_of_the_store_can_be_used(keeper, manager, pair):
    with Daemon(keeper.path) as daemon:
        daemon.store(64, pair[0].fileno())
        from_store(manager, 1)
    keeper.kill()
    os.ftruncate(manager.stored["notes"][0], 3)
    keeper.start(from_store(manager, 1))
    with Daemon(keeper.path) as daemon:
        daemon.say(Retain(((64, inode(pair[0].fileno())),), is_last=True))
        assert daemon.hear(Missing).numbers == (64,)
        manager.read_until("-notes")
        daemon.store(64, pair[0].fileno(), b"again")
        manager.read_until("+s64")
    with closing(Notes.reopen(os.dup(manager.stored["notes"][0]))) as notes:
        assert [slot.note for slot in notes.read()] == [b"again"]


def test_names_that_do_not_match_are_refused(keeper, pair):
    keeper.kill()
    keeper.start([("a:b", pair[0].fileno())])
    assert "2 names came with 1 stored descriptors" in keeper.log


def test_descriptors_meant_for_another_process_are_left_alone():
    code = "from os import environ as e; from socketd.keeper import returned as r; print(r.take_back(e), *e)"
    environ = {
        "PYTHONPATH": str(DAEMON_FOLDER),
        "LISTEN_FDS": "1",
        "LISTEN_FDNAMES": "s64",
        "LISTEN_PID": "1",
    }
    out = subprocess.run([sys.executable, "-c", code], env=environ, check=True, capture_output=True).stdout
    assert b"notes=None, held={}" in out
    assert b"LISTEN_" not in out


def test_a_store_that_brings_a_slot_without_its_socket_goes_on(keeper, manager, pair):
    with Daemon(keeper.path) as daemon:
        for number, each in enumerate(pair, 64):
            daemon.store(number, each.fileno())
        stored = from_store(manager, 2)
    keeper.kill()
    keeper.start([(name, fd) for name, fd in stored if name != "s64"])
    assert sorted(fetched(keeper.path)) == [65]
    with closing(Notes.reopen(os.dup(dict(stored)["notes"]))) as notes:
        assert [slot.number for slot in notes.read()] == [65]


def test_killed_at_any_time_it_leaves_notes_that_describe_what_is_stored(tmp_path, manager):
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - shown when it fails
    chance = random.Random(seed)
    with keeping(tmp_path, manager, capacity=64) as keeper, ExitStack() as stack:
        made = [stack.enter_context(socket.socket()) for _ in range(40)]
        inodes = {number: inode(each.fileno()) for number, each in enumerate(made, 64)}
        for _ in range(6):
            with Daemon(keeper.path, Mode.FETCH) as daemon:
                daemon.fetch()
                note = chance.randbytes(chance.randrange(1000))
                for number, each in enumerate(made[: chance.randrange(15, 40)], 64):
                    daemon.say(Store(0, (Record(number, note),)), [each.fileno()])
                    daemon.say(Update((Record(number, note[::-1]),)))
                for _ in range(chance.randrange(30)):
                    daemon.hear(Ack)
                read_some(manager, chance.randrange(80))
                keeper.kill()
            read_some(manager, 1000)
            manager.pass_barriers()
            stored = [(name, fds[0]) for name, fds in manager.stored.items()]
            assert_described(manager, inodes)
            keeper.start(stored)
            had = fetched(keeper.path)
            assert {f"s{number}" for number in had} == {name for name, _ in stored} - {"notes"}


def read_some(manager, most):
    """Read what was said, up to ``most``, while more comes: the keeper waits where there is no room."""
    for _ in range(most):
        if not select.select([manager.sock], [], [], 0.005)[0]:
            return
        manager.read()


def test_a_socket_stored_again_is_described_in_the_slot_of_the_one_before(keeper, manager, pair):
    with (
        Daemon(keeper.path) as daemon,
        closing(Notes.reopen(os.dup(notes_of(daemon, manager, pair)))) as notes,
    ):
        before = list(notes.read())
        daemon.store(64, pair[1].fileno(), b"another")
        manager.read_until("+s64")
        after = list(notes.read())
    assert [(slot.index, slot.number) for slot in before] == [(slot.index, slot.number) for slot in after]
    assert [slot.note for slot in after] == [b"another", b"second"]
    assert manager.said[-3:] == ["-s64", "barrier", "+s64"]
    assert manager.inodes()["s64"] == inode(pair[1].fileno())


def notes_of(daemon, manager, pair):
    """Return the notes that describe ``pair``."""
    for number, each, note in zip((64, 65), pair, (b"first", b"second"), strict=True):
        daemon.store(number, each.fileno(), note)
    return dict(from_store(manager, 2))["notes"]


def assert_described(manager, inodes):
    """Whatever is in the store has a sound slot."""
    if not manager.stored:
        return
    with closing(Notes.reopen(os.dup(manager.stored["notes"][0]))) as notes:
        described = {f"s{slot.number}": slot.inode for slot in notes.read()}
    for name, found in manager.inodes().items():
        assert name == "notes" or described[name] == found == inodes[int(name[1:])]
