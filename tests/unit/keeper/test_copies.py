"""The supervisor's store, with a service manager that the test plays."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack, closing

import pytest

from socketd.keeper.barrier import PATIENCE_S
from socketd.keeper.notes import MOST_BYTES, Notes
from socketd.keeper.protocol import Ack, Forget, Missing, Mode, Ping, Record, Retain, Store, Update
from tests.unit.keeper.parties import Daemon, fetched, has_ended, inode


@pytest.fixture
def sockets():
    """Make sockets that end with the test."""
    with ExitStack() as stack:
        yield lambda count: [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(count)]


@pytest.fixture
def supervised(make_keeper, manager):
    """Start a keeper for which the manager stores three sockets and the notes."""
    keeper = make_keeper(capacity=4)
    assert "READY=1" in manager.read()
    return keeper


@pytest.fixture
def daemon(supervised):
    """Connect a daemon that has said what it has: nothing."""
    with Daemon(supervised.path) as connected:
        retain(connected)
        yield connected


def retain(daemon, *identities):
    daemon.say(Retain(identities, is_last=True))
    daemon.hear(Missing)


def copies(manager, count):
    """Read until so many sockets are stored."""
    while len(manager.stored) < count:
        manager.read()
    return manager.inodes()


def noted(manager):
    """Return what the notes say, by number."""
    with closing(Notes.reopen(os.dup(manager.stored["notes"][0]))) as notes:
        return {slot.number: (slot.inode, slot.note) for slot in notes.read()}


def test_a_socket_is_described_before_it_is_stored(manager, daemon, sockets):
    (first,) = sockets(1)
    daemon.store(64, first.fileno(), b"note")
    assert manager.read_until("+s64")[-2:] == ["+notes", "+s64"]
    assert manager.inodes()["s64"] == inode(first.fileno())
    assert noted(manager) == {64: (inode(first.fileno()), b"note")}
    daemon.hear_kept(64, is_kept=True)


def test_welcome_names_the_store(daemon):
    assert daemon.welcome.store == "systemd"


def test_welcome_names_another_supervisor(make_keeper, manager):
    with Daemon(make_keeper(capacity=4, label="supervisor").path) as daemon:
        assert daemon.welcome.store == "supervisor"
    assert manager.read()


def test_who_stores_nothing_is_told_nothing_but_how_it_is(make_keeper, manager, sockets):
    keeper = make_keeper(label="systemd")
    with Daemon(keeper.path) as daemon:
        assert daemon.welcome.store == ""
        daemon.store(64, sockets(1)[0].fileno())
        manager.read_until("1 sockets held")
    assert not manager.stored


def test_only_as_many_as_fit_are_stored_and_the_oldest_move_up(manager, daemon, sockets):
    for number, each in enumerate(sockets(6), 64):
        daemon.store(number, each.fileno())
    copies(manager, 4)
    assert sorted(manager.stored) == ["notes", "s64", "s65", "s66"]
    sequence = daemon.say(Forget((65, 64)))
    manager.read_until("+s68")
    assert manager.said[-5:] == ["-s65", "-s64", "barrier", "+s67", "+s68"]
    manager.pass_barriers()
    assert daemon.hear(Ack) == Ack(sequence)
    daemon.hear_kept(68, is_kept=True)
    assert daemon.kept == {64: False, 65: False, 66: True, 67: True, 68: True}
    assert sorted(noted(manager)) == [66, 67, 68]


def test_forget_waits_for_the_manager_and_holds_up_nothing_else(manager, daemon, pair):
    ours, theirs = pair
    daemon.store(64, ours.fileno())
    ours.close()
    copies(manager, 2)
    forgotten = daemon.say(Forget((64,)))
    manager.read_until("barrier")
    daemon.do(Ping())
    assert not has_ended(theirs)
    manager.pass_barriers()
    assert daemon.hear(Ack) == Ack(forgotten)
    assert has_ended(theirs)


def test_a_second_forget_waits_for_a_barrier_of_its_own(manager, daemon, sockets):
    for number, each in enumerate(sockets(2), 64):
        daemon.store(number, each.fileno())
    copies(manager, 3)
    first = daemon.say(Forget((64,)))
    manager.read_until("barrier")
    second = daemon.say(Forget((65,)))
    manager.read_until("-s65")
    manager.pass_barriers()
    assert daemon.hear(Ack) == Ack(first)
    manager.read_until("barrier")
    manager.pass_barriers()
    assert daemon.hear(Ack) == Ack(second)


def test_a_manager_that_never_passes_the_barrier_is_waited_for_a_bounded_time(manager, daemon, pair):
    assert PATIENCE_S == 2.0
    ours, theirs = pair
    daemon.store(64, ours.fileno())
    ours.close()
    copies(manager, 2)
    daemon.do(Forget((64,)))
    manager.read_until("barrier")
    assert has_ended(theirs)


def test_a_manager_that_does_not_read_holds_up_nothing(make_keeper, manager, sockets):
    keeper = make_keeper(capacity=1200)
    made = sockets(1100)
    with Daemon(keeper.path) as daemon:
        for number, each in enumerate(made, 64):
            daemon.store(number, each.fileno(), b"n")
        daemon.do(Ping())
        stored = copies(manager, 1101)
        assert {name: inode for name, inode in stored.items() if name != "notes"} == {
            f"s{number}": inode(each.fileno()) for number, each in enumerate(made, 64)
        }


def test_what_is_forgotten_before_the_manager_heard_of_it_is_never_told(make_keeper, manager, sockets):
    keeper = make_keeper(capacity=2000)
    with Daemon(keeper.path) as daemon:
        for number, each in enumerate(sockets(1500), 64):
            daemon.store(number, each.fileno())
        daemon.do(Forget((1563,)))  # and it is answered at once, though nobody reads
        stored = copies(manager, 1500)
    assert "s1563" not in stored
    assert "-s1563" not in manager.said


def test_a_note_too_long_for_its_slot_keeps_the_socket_out(supervised, manager, daemon, sockets):
    first, second = sockets(2)
    daemon.store(64, first.fileno(), bytes(MOST_BYTES + 1))
    daemon.store(65, second.fileno(), bytes(MOST_BYTES))
    assert sorted(copies(manager, 2)) == ["notes", "s65"]
    daemon.do(Update((Record(65, bytes(MOST_BYTES + 1)), Record(64, b"short"))))
    manager.read_until("+s64")
    assert sorted(manager.stored) == ["notes", "s64"]
    daemon.hear_kept(64, is_kept=True)
    assert daemon.kept == {64: True, 65: False}
    daemon.close()
    assert len(fetched(supervised.path)) == 2


def test_a_changed_note_is_changed_in_the_store(manager, daemon, sockets):
    (first,) = sockets(1)
    daemon.store(64, first.fileno(), b"before")
    copies(manager, 2)
    daemon.do(Update((Record(64, b"after"),)))
    assert noted(manager) == {64: (inode(first.fileno()), b"after")}


def test_a_note_changed_while_it_waits_for_a_place_counts(manager, daemon, sockets):
    for number, each in enumerate(sockets(5), 64):
        daemon.store(number, each.fileno(), b"before")
    copies(manager, 4)
    daemon.do(Update((Record(67, bytes(MOST_BYTES + 1)), Record(68, b"after"))))
    daemon.say(Forget((64,)))
    manager.read_until("+s68")
    assert noted(manager)[68][1] == b"after"
    assert "s67" not in manager.stored


def test_a_number_used_again_is_another_socket_in_the_store(manager, daemon, sockets):
    first, second = sockets(2)
    daemon.store(64, first.fileno())
    copies(manager, 2)
    daemon.store(64, second.fileno())
    manager.read_until("+s64")
    assert manager.said[-3:] == ["-s64", "barrier", "+s64"]
    assert manager.inodes()["s64"] == inode(second.fileno())
    assert noted(manager)[64][0] == inode(second.fileno())


def test_what_retain_drops_leaves_the_store(manager, daemon, sockets):
    first, second = sockets(2)
    daemon.store(64, first.fileno())
    daemon.store(65, second.fileno())
    copies(manager, 3)
    retain(daemon, (65, inode(second.fileno())))
    manager.read_until("-s64")
    assert sorted(manager.stored) == ["notes", "s65"]


@pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.name)
def test_the_next_daemon_is_told_what_is_stored(supervised, manager, daemon, sockets, mode):
    (first,) = sockets(1)
    daemon.store(64, first.fileno())
    copies(manager, 2)
    daemon.close()
    with Daemon(supervised.path, mode) as successor:
        if mode is Mode.FETCH:
            successor.fetch()
        else:
            retain(successor, (64, inode(first.fileno())))
        successor.hear_kept(64, is_kept=True)


def test_a_manager_that_goes_away_is_done_without(supervised, manager, daemon, sockets):
    for number, each in enumerate(sockets(2), 64):
        daemon.store(number, each.fileno())
    copies(manager, 3)
    manager.sock.close()
    daemon.do(Forget((64,)))
    daemon.hear_kept(65, is_kept=False)
    daemon.close()
    assert fetched(supervised.path) == {65: b""}
    with Daemon(supervised.path) as successor:
        assert successor.welcome.store == ""


def test_no_manager_at_all_is_done_without(make_keeper, sockets):
    with Daemon(make_keeper(capacity=4).path) as daemon:
        assert daemon.welcome.store == ""
        daemon.store(64, sockets(1)[0].fileno())
        daemon.do(Forget((64,)))


def test_a_manager_that_takes_no_descriptors_is_done_without(make_keeper, manager, sockets):
    passrights = 83  # SO_PASSRIGHTS, since Linux 6.16
    try:
        manager.sock.setsockopt(socket.SOL_SOCKET, passrights, 0)
    except OSError:
        pytest.skip("needs SO_PASSRIGHTS, Linux 6.16")
    with Daemon(make_keeper(capacity=4, watchdog_s=0.1).path) as daemon:
        daemon.store(64, sockets(1)[0].fileno())
        daemon.do(Forget((64,)))
        for _ in range(3):
            manager.read_until("WATCHDOG=1")


def test_status_tells_how_many_and_who(manager, daemon, sockets):
    for number, each in enumerate(sockets(5), 64):
        daemon.store(number, each.fileno())
    manager.read_until(f"5 sockets held, 3 of them also by the supervisor; daemon {os.getpid()} connected")
    daemon.close()
    manager.read_until("no daemon connected")


def test_the_watchdog_is_fed(make_keeper, manager):
    make_keeper(watchdog_s=0.2)
    for _ in range(3):
        manager.read_until("WATCHDOG=1")


def test_the_end_is_said_and_the_store_left_alone(make_keeper, manager, sockets):
    keeper = make_keeper(capacity=4)
    with Daemon(keeper.path) as daemon:
        daemon.do(Store(0, (Record(64, b""),)), [sockets(1)[0].fileno()])
        copies(manager, 2)
    keeper.close()
    assert not [each for each in manager.read_until("STOPPING=1") if each.startswith("-")]
    assert sorted(manager.stored) == ["notes", "s64"]
