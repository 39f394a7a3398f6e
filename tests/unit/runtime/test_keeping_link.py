"""The link against a keeper that says exactly what the test says."""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import TYPE_CHECKING, Self, TypeVar

import gevent
import pytest
from gevent import socket as gevent_socket
from gevent.hub import get_hub

from socketd.core.entry import Note
from socketd.core.owner import Owner
from socketd.core.table import Origin
from socketd.keeper import protocol
from socketd.keeper.protocol import (
    Ack,
    Batch,
    Commit,
    Forget,
    Hello,
    Kept,
    Missing,
    Mode,
    Ping,
    Record,
    Refused,
    Retain,
    Store,
    Update,
    Welcome,
)
from socketd.kernel import scm
from socketd.runtime.keeping.adoption import AdoptionError
from socketd.runtime.keeping.line import LineError
from socketd.runtime.keeping.link import Link
from socketd.runtime.keeping.notes import decode, encode
from socketd.runtime.keeping.post import WINDOW
from socketd.runtime.waiting import give_way
from socketd.service import Limits, build
from tests.held import FIRST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from socketd.core.entry import Entry
    from socketd.core.seams import Keeper
    from socketd.keeper.protocol import FromKeeper
    from socketd.service import Service

    def conforms(link: Link) -> Keeper:
        return link


LONG_S = 30.0  # never waited out: what is tested comes before
Kind = TypeVar("Kind")


@pytest.fixture(scope="module", autouse=True)
def _hub() -> Iterator[None]:
    """Open the loop's own descriptors before the leak gate looks."""
    hub = get_hub()
    give_way()
    yield
    hub.destroy(destroy_loop=True)


class ScriptedKeeper:
    """Listens, and speaks the protocol one message at a time; what it is sent it closes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._listener = gevent_socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(path)
        self._listener.listen()
        self._listener.settimeout(LONG_S)
        self._connection: gevent_socket.socket | None = None
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self._listener.close()

    def hang_up(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def welcome(self, mode: Mode, last_number: int = 0, store: str = "") -> None:
        """Let the daemon in, which wants that."""
        self.hang_up()
        self._connection, _ = self._listener.accept()
        self._sequence = 0
        assert self.hear(Hello)[1] == Hello(protocol.VERSION, mode)
        self.say(Welcome(protocol.VERSION, 0, last_number, store))

    def say(self, message: FromKeeper, *fds: int) -> None:
        """Send a message."""
        assert self._connection is not None
        self._sequence += 1
        scm.send(self._connection.fileno(), protocol.encode(message, self._sequence), fds)

    def hear(self, kind: type[Kind]) -> tuple[int, Kind]:
        """Return sequence and message of the next one, which is of that kind."""
        assert self._connection is not None
        gevent_socket.wait_read(self._connection.fileno(), timeout=LONG_S)
        came = scm.receive(self._connection.fileno(), protocol.MOST_BYTES)
        scm.close(came.descriptors)
        sequence, message = protocol.from_daemon(came.data, len(came.descriptors))
        assert isinstance(message, kind), message
        return sequence, message

    def do(self, kind: type[Kind]) -> Kind:
        """Hear a message, and say that it is done."""
        sequence, message = self.hear(kind)
        self.say(Ack(sequence))
        return message

    def has_heard_all(self) -> bool:
        """Whether nothing is there that was not heard."""
        assert self._connection is not None
        give_way()
        try:
            gevent_socket.wait_read(self._connection.fileno(), timeout=0.05)
        except TimeoutError:
            return True
        return False


class Couple:
    """A link with its table, and its keeper."""

    def __init__(self, keeper: ScriptedKeeper) -> None:
        self.keeper = keeper
        self.link = Link(keeper.path)
        self.service: Service = build(
            Limits(descriptors=4000, first_number=FIRST),
            resolver=socket.getaddrinfo,
            clock=time,
            keeper=self.link,
        )

    def join(
        self, *records: Record, fds: tuple[int, ...] = (), last_number: int = 0, store: str = ""
    ) -> None:
        """Have the link fetch ``records``."""
        joining = gevent.spawn(self.link.join, self.service.table, self.service.table.numbers, 0.0)
        self.keeper.welcome(Mode.FETCH, last_number, store)
        self.keeper.say(Batch(records, is_last=True), *fds)
        assert self.keeper.hear(Ack)[1] == Ack(2)
        joining.get(timeout=LONG_S)

    def hold(self, group: int = 0) -> Entry:
        """Hold a new socket."""
        return self.service.table.hold(socket.socket(), Origin(Owner(0), group=group))

    def created(self) -> Entry:
        """Hold a new socket, and have the keeper have it."""
        entry = self.hold()
        confirming = gevent.spawn(self.link.confirm)
        self.keeper.do(Store)
        confirming.get(timeout=LONG_S)
        self.until_kept(entry, "keeper")
        return entry

    def resume(self, *missing: int) -> Retain:
        """Let the link in again, up to what it has to say; return what it retains."""
        self.keeper.welcome(Mode.RESUME)
        _, retain = self.keeper.hear(Retain)
        self.keeper.say(Missing(missing, is_last=True))
        return retain

    def until_kept(self, entry: Entry, kept: str) -> None:
        """Let the loop run until that is so."""
        deadline = time.monotonic() + LONG_S
        while entry.kept != kept:
            assert time.monotonic() < deadline, entry.kept
            gevent.sleep(0.001)

    def until_up(self) -> None:
        """Let the loop run until the link is whole."""
        deadline = time.monotonic() + LONG_S
        while self.link.state() != "up":
            assert time.monotonic() < deadline
            gevent.sleep(0.001)


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[ScriptedKeeper]:
    with ScriptedKeeper(str(tmp_path / "k")) as scripted:
        yield scripted


@pytest.fixture
def couple(keeper: ScriptedKeeper) -> Iterator[Couple]:
    both = Couple(keeper)
    yield both
    both.link.close()
    both.service.table.close_all()


@pytest.fixture
def joined(couple: Couple) -> Couple:
    couple.join()
    return couple


def test_sockets_are_had_back_under_their_numbers(couple):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.socket() as two:
        inodes = [os.fstat(each.fileno()).st_ino for each in (one, two)]
        couple.join(
            Record(FIRST + 9, encode(Note(Owner(7), 1.0, "web"))),
            Record(FIRST + 2, encode(Note(Owner(8), 2.0))),
            fds=(one.fileno(), two.fileno()),
            last_number=FIRST + 20,
        )
    web, other = couple.service.table.find("web"), couple.service.table.find(FIRST + 2)
    assert (web.fd, web.owner, web.kept) == (FIRST + 9, Owner(7), "keeper")
    assert [web.inode, other.inode] == inodes
    assert couple.created().fd == FIRST + 21  # above whatever was given before


def test_socket_whose_bytes_died_with_the_daemon_is_shut_down_once_and_held(couple, caplog):
    end, peer = socket.socketpair()
    with end, peer:
        couple.join(Record(FIRST, encode(Note(Owner(7), 1.0, forwarded=True))), fds=(end.fileno(),))
        assert peer.recv(1) == b""
    entry = couple.service.table.find(FIRST)
    assert not entry.forwarded
    changed = couple.keeper.do(Update)
    assert [decode(record.note).forwarded for record in changed.records] == [False]
    assert f"1 sockets ({FIRST}) are shut down" in caplog.text


def test_number_that_is_not_to_be_had_fails_with_a_cure(couple):
    joining = gevent.spawn(couple.link.join, couple.service.table, couple.service.table.numbers, 0.0)
    couple.keeper.welcome(Mode.FETCH)
    with socket.socket() as one:
        couple.keeper.say(Batch((Record(1 << 30, encode(Note(Owner(0), 1.0))),), is_last=True), one.fileno())
    with pytest.raises(AdoptionError, match=r"RLIMIT_NOFILE must be above .* Nothing is lost"):
        joining.get(timeout=LONG_S)


def test_keeper_that_speaks_nonsense_is_left(couple):
    joining = gevent.spawn(couple.link.join, couple.service.table, couple.service.table.numbers, 0.0)
    couple.keeper.welcome(Mode.FETCH)
    couple.keeper.say(Missing((), is_last=True))
    with pytest.raises(LineError, match="instead of what it holds"):
        joining.get(timeout=LONG_S)


def test_unreadable_ones_stay_with_the_keeper_over_every_break(couple):
    with socket.socket() as newer:
        inode = os.fstat(newer.fileno()).st_ino
        couple.join(Record(FIRST, b'{"v":2}'), fds=(newer.fileno(),))
    assert len(couple.service.table) == 0
    entry = couple.created()
    assert entry.fd != FIRST
    assert couple.resume().identities == ((entry.fd, entry.inode), (FIRST, inode))
    couple.keeper.do(Ping)
    assert couple.resume().identities == ((entry.fd, entry.inode), (FIRST, inode))


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
