"""What the keeper is told, and when: a second copy before the answer, and none once a socket is closed."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from socketd.core import address_text
from socketd.core.owner import Owner
from socketd.core.table import Origin
from socketd.errors import KernelRefusedError, NameTakenError
from socketd.service.donation import Offer
from socketd.service.passing import Taking
from tests.held import ANN, LOOPBACK, Held, specification, where
from tests.ports import free_port
from tests.recording_keeper import RecordingKeeper
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from socketd.core.entry import Entry

LISTENER = specification(bind=LOOPBACK, backlog=4)


@pytest.fixture
def keeper() -> Iterator[RecordingKeeper]:
    made = RecordingKeeper()
    yield made
    made.close()


@pytest.fixture
def kept(keeper: RecordingKeeper) -> Iterator[Held]:
    """Hold a table whose sockets a keeper holds, too."""
    made = Held(keeper=keeper)
    yield made
    made.service.close()
    assert keeper.copies == {}


class Onlooker(PollWaiter):
    """Another request, which runs whenever this one gives way, and waits for the keeper."""

    def __init__(self, keeper: RecordingKeeper) -> None:
        super().__init__()
        self._keeper = keeper
        self.seen: list[int] = []

    def give_way(self) -> None:
        self._keeper.confirm()
        self.seen.append(len(self._keeper.copies))


def create_many(
    held: Held, count: int, name: str | None = None, waiter: PollWaiter | None = None
) -> list[Entry]:
    call = held.call(waiter=waiter)
    return held.service.sockets.create_many(call, specification(), Origin(Owner(0), name), count, 1)


def the_same(keeper: RecordingKeeper, entry: Entry) -> bool:
    copy = keeper.copies[entry.fd]
    return os.fstat(copy.fd).st_ino == entry.inode and copy.note == entry.note()


# What comes to nothing, the keeper has not got.


def test_a_create_that_fails_tells_the_keeper_nothing(kept: Held, keeper: RecordingKeeper):
    taken = where(kept.listener())
    keeper.said.clear()
    with pytest.raises(KernelRefusedError):
        kept.make(specification(bind=taken, backlog=1))
    assert keeper.said == []


def test_a_connect_that_fails_was_never_stored_and_its_port_is_free(kept: Held, keeper: RecordingKeeper):
    port = f"127.0.0.1:{free_port()}"
    with pytest.raises(KernelRefusedError) as caught:
        kept.make(specification(bind=port, connect=f"127.0.0.1:{free_port()}"))
    assert caught.value.symbol == "ECONNREFUSED"
    assert keeper.told("store") == []
    assert where(kept.make(specification(bind=port))) == port


def test_a_bulk_create_that_fails_leaves_nothing_with_the_keeper(kept: Held, keeper: RecordingKeeper):
    kept.tcp(name="web.70")
    onlooker = Onlooker(keeper)
    with pytest.raises(NameTakenError) as caught:
        create_many(kept, 80, "web", onlooker)
    assert caught.value.index == 70
    assert onlooker.seen == [1]
    assert len(keeper.copies) == 1
    assert not any(keeper.staged.values())


def test_a_pair_of_which_one_fails_leaves_nothing_with_the_keeper(kept: Held, keeper: RecordingKeeper):
    first = kept.tcp(name="b")
    with pytest.raises(NameTakenError):
        kept.service.sockets.pair(kept.call(), socket.AF_UNIX, socket.SOCK_STREAM, 0, ("a", "b"))
    assert list(keeper.copies) == [first.fd]
    assert not any(keeper.staged.values())


def test_a_give_that_is_abandoned_leaves_nothing_with_the_keeper(kept: Held, keeper: RecordingKeeper):
    with socket.socket() as ours:
        donation = kept.service.passing.donation(kept.call(), [Offer(), Offer()], existing_ok=False)
        donation.add([os.dup(ours.fileno())])
        keeper.confirm()
        assert keeper.copies == {}
        donation.abandon()
    assert keeper.copies == {}
    assert not any(keeper.staged.values())
    assert len(kept.table) == 0


# What is answered, the keeper has.


def test_a_socket_is_kept_with_its_note_when_create_returns(
    kept: Held, keeper: RecordingKeeper, tmp_path: Path
):
    entry = kept.make(specification(bind=f"{tmp_path}/s", backlog=1), uid=ANN, name="web")
    assert keeper.said == [("store", entry.fd), ("confirm", 0)]
    assert the_same(keeper, entry)
    assert entry.kept == "keeper"
    note = keeper.copies[entry.fd].note
    assert (note.owner, note.name, note.created_at) == (Owner(ANN), "web", entry.created_at)
    assert note.socket_file is not None
    assert note.socket_file.path == f"{tmp_path}/s"


def test_a_connected_socket_is_stored_once_it_is_connected(kept: Held, keeper: RecordingKeeper):
    near = kept.make(specification(connect=where(kept.listener())))
    assert near.is_finished
    assert keeper.told("store")[-1] == near.fd
    assert the_same(keeper, near)


def test_a_bulk_create_is_kept_all_at_once(kept: Held, keeper: RecordingKeeper):
    onlooker = Onlooker(keeper)
    made = create_many(kept, 130, waiter=onlooker)
    assert onlooker.seen == [0, 0]
    assert list(keeper.copies) == [entry.fd for entry in made]
    assert all(entry.kept == "keeper" for entry in made)


def test_a_pair_is_kept_both_at_once(kept: Held, keeper: RecordingKeeper):
    near, far = kept.pair()
    group = keeper.told("group")[0]
    assert keeper.said == [("group", group), ("store", near.fd), ("store", far.fd), ("confirm", group)]
    assert list(keeper.copies) == [near.fd, far.fd]


def test_what_ensure_makes_is_kept_and_what_it_finds_is_not_told_again(kept: Held, keeper: RecordingKeeper):
    for is_new in (True, False):
        entry, made = kept.service.sockets.ensure(kept.call(), LISTENER, Origin(Owner(0), "web"), 1)
        assert made is is_new
    assert keeper.said == [("store", entry.fd), ("confirm", 0)]


def test_an_accepted_connection_is_sent_before_anything_else_is_done(kept: Held, keeper: RecordingKeeper):
    listener = kept.listener()
    keeper.said.clear()
    with socket.create_connection(listener.sock.getsockname()):
        (far,) = kept.service.sockets.accept(kept.call(), listener.reference, 5, 1, "far")
    assert keeper.said == [("store_accepted", far.fd), ("confirm", 0)]
    assert the_same(keeper, far)
    assert far.accepted_from == listener.fd


def test_what_is_given_is_kept_all_at_once(kept: Held, keeper: RecordingKeeper):
    with socket.socket() as one, socket.socket() as two:
        donation = kept.service.passing.donation(kept.call(), [Offer("a"), Offer("b")], existing_ok=False)
        for each in (one, two):
            donation.add([os.dup(each.fileno())])
            keeper.confirm()
            assert keeper.copies == {}
        entries = donation.finish()
    assert all(the_same(keeper, entry) for entry in entries)


def test_what_is_taken_from_a_process_is_kept(kept: Held, keeper: RecordingKeeper):
    with socket.socket() as ours:
        entry = kept.service.passing.give_from(kept.call(), os.getpid(), ours.fileno(), Offer("x"))
    assert the_same(keeper, entry)


def test_a_name_that_bind_gives_to_a_held_socket_is_noted(
    kept: Held, keeper: RecordingKeeper, tmp_path: Path
):
    entry = kept.make(specification(socket.AF_UNIX))
    keeper.said.clear()
    kept.service.operations.bind(kept.call(), entry.reference, address_text.parse(f"{tmp_path}/s"))
    assert keeper.said == [("update", entry.fd), ("confirm", 0)]
    assert keeper.copies[entry.fd].note.socket_file == entry.socket_file is not None


def test_a_bind_without_a_file_is_the_kernels_to_remember(kept: Held, keeper: RecordingKeeper):
    entry = kept.tcp()
    keeper.said.clear()
    kept.service.operations.bind(kept.call(), entry.reference, address_text.parse(LOOPBACK))
    assert keeper.said == []


def test_a_take_is_noted_without_waiting(kept: Held, keeper: RecordingKeeper):
    entry = kept.tcp()
    keeper.said.clear()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        kept.service.passing.take(
            kept.call(), ours.fileno(), Taking((entry.reference,), b"x", is_blocking=True)
        )
        _, descriptors, _, _ = socket.recv_fds(theirs, 1, 1)
        os.close(descriptors[0])
    assert keeper.said == [("update", entry.fd)]
    keeper.confirm()
    note = keeper.copies[entry.fd].note
    assert (note.taken, note.is_blocking, note.taken_by) == (1, True, entry.taken_by)


# What is closed, the keeper has not got any more.


def test_a_closed_port_is_free_when_close_returns(kept: Held):
    listener = kept.listener()
    address = listener.sock.getsockname()
    kept.service.sockets.close(kept.call(), listener.reference, shut_duplicates=False)
    with socket.socket() as again:
        again.bind(address)


def test_the_peer_of_a_closed_connection_sees_its_end(kept: Held):
    listener = kept.listener()
    with socket.create_connection(listener.sock.getsockname()) as client:
        (far,) = kept.service.sockets.accept(kept.call(), listener.reference, 5, 1, None)
        kept.service.sockets.close(kept.call(), far.reference, shut_duplicates=False)
        client.settimeout(5)
        assert client.recv(1) == b""


def test_a_released_socket_is_the_takers_alone(kept: Held, keeper: RecordingKeeper):
    entries = [kept.tcp(), kept.tcp()]
    kept.service.passing.release(kept.call(), entries)
    assert keeper.copies == {}


def test_the_end_for_good_leaves_no_copy(keeper: RecordingKeeper):
    held = Held(keeper=keeper)
    create_many(held, 3)
    held.service.close()
    assert keeper.copies == {}


def test_leaving_closes_nothing_and_keeps_socket_files(kept: Held, keeper: RecordingKeeper, tmp_path: Path):
    entry = kept.make(specification(bind=f"{tmp_path}/s", backlog=1))
    kept.service.leave()
    assert keeper.said[-1] == ("confirm", 0)
    assert the_same(keeper, entry)
    assert not entry.closed
    assert (tmp_path / "s").is_socket()


def test_a_keeper_that_is_away_keeps_nobody_from_working(kept: Held, keeper: RecordingKeeper):
    keeper.is_up = False
    listener = kept.listener()
    with socket.create_connection(listener.sock.getsockname()):
        (far,) = kept.service.sockets.accept(kept.call(), listener.reference, 5, 1, None)
    assert far.kept == listener.kept == "daemon"
    kept.service.sockets.close(kept.call(), listener.reference, shut_duplicates=False)
    keeper.is_up = True
