"""``persist: boot``: saved or not made at all, made again by its owner, and one that fails stops no other."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from socketd.core.address import Address
from socketd.core.owner import Owner
from socketd.core.saving import Saved, Unreadable
from socketd.core.table import Origin
from socketd.errors import (
    ClosedMeanwhileError,
    DiffersError,
    InvalidRequestError,
    NameTakenError,
    NotSavedError,
    StaleError,
    UnknownSocketError,
    UnreadableSpecificationError,
)
from socketd.service import Archive
from socketd.service.boot import Declaration
from socketd.service.promises import LAST_RETRY_S
from socketd.web.schemas.sockets import SpecificationSchema
from socketd.web.specification import read, specification
from tests.held import ANN, BOB, ROOT, Held, free_tcp_port, where
from tests.recording_keeper import RecordingKeeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from socketd.core.entry import Entry
    from socketd.service.names import Named

    Persist = str | bool | None

LOADS = SpecificationSchema()


class Shelf:
    """A disk in memory that survives the services which are built on it, and fails when told to.

    Attributes:
        saved: What is on it.
        broken: Files that cannot be understood.
        failing: The calls that fail.
        before: Run at the beginning of a call: what another request does meanwhile.
    """

    def __init__(self) -> None:
        self.saved: dict[str, Saved] = {}
        self.broken: list[str] = []
        self.failing: set[str] = set()
        self.before: dict[str, Callable[[], None]] = {}

    def save(self, saved: Saved) -> None:
        self._begin("save")
        self.saved[saved.name] = saved

    def remove(self, names: Sequence[str]) -> None:
        self._begin("remove")
        for name in names:
            self.saved.pop(name, None)

    def load(self) -> Sequence[Saved | Unreadable]:
        self._begin("load")
        broken = [Unreadable(name, UnreadableSpecificationError(name, "newer")) for name in self.broken]
        return [*self.saved.values(), *broken]

    def _begin(self, call: str) -> None:
        self.before.pop(call, lambda: None)()
        if call in self.failing:
            raise NotSavedError(OSError(errno.ENOSPC, ""), "write", "/state")


class Hosts:
    """Services on one shelf, one after the other, as at reboots."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.keeper = RecordingKeeper()
        self.resolver: Any = socket.getaddrinfo
        self._started: list[Held] = []

    def start(self, reading: Callable[[Mapping[str, Any]], Any] = read) -> Held:
        """Begin anew, holding nothing."""
        held = Held(
            archive=Archive(self.shelf, reading),
            keeper=self.keeper,
            resolver=self._resolve,
        )
        self._started.append(held)
        return held

    def _resolve(self, *question: Any) -> Any:
        return self.resolver(*question)

    def close(self) -> None:
        for held in self._started:
            held.service.close()
        self.keeper.close()


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    made = Hosts()
    yield made
    made.close()


@pytest.fixture
def held(hosts: Hosts) -> Held:
    return hosts.start()


def declared(persist: Persist = "boot", **words: Any) -> Declaration:
    """Ask as the web does."""
    return Declaration(specification(LOADS.load(words)), words, persist)


def listening(port: int = 0, persist: Persist = "boot") -> Declaration:
    return declared(persist, bind=f"127.0.0.1:{port}", listen=True)


def create(held: Held, name: str, wanted: Declaration, uid: int = ANN, key: str | None = None) -> Entry:
    return held.service.boot.create(held.call(uid, key=key), name, wanted, None)


def ensure(held: Held, name: str, wanted: Declaration, uid: int = ANN) -> tuple[Entry, bool]:
    return held.service.boot.ensure(held.call(uid), name, wanted, None)


def named(held: Held, name: str, uid: int = ROOT) -> Named:
    return held.service.names.get(held.call(uid), name)


def reboot(hosts: Hosts, old: Held) -> Held:
    """Close everything but what is on the disk, and start again."""
    old.service.close()
    new = hosts.start()
    new.service.boot.remake()
    return new


@contextmanager
def taken(port: int) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)):
        yield


@contextmanager
def rebooted_without(port: int, hosts: Hosts, old: Held) -> Iterator[Held]:
    """Start again while somebody else has the port."""
    old.service.close()
    with taken(port):
        new = hosts.start()
        new.service.boot.remake()
        yield new


def test_what_is_promised_is_on_the_disk_when_the_call_returns(hosts, held):
    entry = create(held, "web", listening())
    assert entry.persist == "boot"
    assert hosts.shelf.saved == {"web": Saved("web", Owner(ANN), {"bind": "127.0.0.1:0", "listen": True})}
    assert hosts.keeper.copies[entry.fd].note.persist == "boot"


def test_it_is_made_again_with_owner_name_address_and_options(hosts, held):
    port = free_tcp_port()
    wanted = declared(bind=f"127.0.0.1:{port}", listen={"backlog": 7}, options={"SO_KEEPALIVE": True})
    create(held, "web", wanted)
    entry = reboot(hosts, held).table.find("web")
    assert (entry.owner, entry.name, entry.persist) == (Owner(ANN), "web", "boot")
    assert where(entry) == f"127.0.0.1:{port}"
    assert entry.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert entry.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_what_cannot_be_saved_is_not_made(hosts, held):
    hosts.shelf.failing.add("save")
    port = free_tcp_port()
    with pytest.raises(NotSavedError):
        create(held, "web", listening(port))
    with pytest.raises(NotSavedError):
        ensure(held, "web", listening(port))
    assert (len(held.table), hosts.keeper.copies) == (0, {})
    with taken(port):
        pass
    hosts.shelf.failing.clear()
    create(held, "web", listening(port))


def test_one_that_existed_stays_when_it_cannot_be_saved(hosts, held):
    entry, _ = ensure(held, "web", listening(persist=None))
    hosts.shelf.failing.add("save")
    with pytest.raises(NotSavedError):
        ensure(held, "web", listening())
    assert not entry.closed
    assert entry.persist is None


def test_without_a_place_to_save_it_is_refused_and_all_else_works():
    held = Held()
    try:
        with pytest.raises(NotSavedError):
            create(held, "web", listening())
        entry, is_new = ensure(held, "web", listening(persist=False))
        assert is_new
        held.service.sockets.close(held.call(ANN), "web", shut_duplicates=False)
        assert entry.closed
        assert held.service.boot.remake() == LAST_RETRY_S
    finally:
        held.service.close()


def test_a_connection_cannot_be_promised(hosts, held):
    for make in (create, ensure):
        with pytest.raises(InvalidRequestError) as caught:
            make(held, "web", declared(connect="127.0.0.1:1"))
        assert caught.value.member == "connect"
    assert not hosts.shelf.saved


def test_closing_ends_the_promise(hosts, held):
    create(held, "web", listening())
    held.service.sockets.close(held.call(ANN), "web", shut_duplicates=False)
    assert not hosts.shelf.saved
    assert len(reboot(hosts, held).table) == 0


def test_releasing_ends_the_promise(hosts, held):
    entries = [create(held, name, listening()) for name in ("a", "b")]
    plain, _ = ensure(held, "c", listening(persist=None))
    held.service.passing.release(held.call(), [*entries, plain])
    assert not hosts.shelf.saved
    assert len(held.table) == 0


@pytest.mark.parametrize("how", ["close", "release", "delete", "unpromise"])
def test_a_promise_that_cannot_be_taken_back_is_kept_with_its_socket(hosts, held, how):
    entry = create(held, "web", listening())
    hosts.shelf.failing.add("remove")
    call = held.call(ANN)
    attempt = {
        "close": lambda: held.service.sockets.close(call, "web", shut_duplicates=True),
        "release": lambda: held.service.passing.release(held.call(), [entry]),
        "delete": lambda: held.service.names.delete(call, "web"),
        "unpromise": lambda: ensure(held, "web", listening(persist=False)),
    }[how]
    with pytest.raises(NotSavedError):
        attempt()
    assert (entry.closed, entry.persist) == (False, "boot")
    assert named(held, "web").persist == "boot"
    hosts.shelf.failing.clear()
    attempt()
    assert not hosts.shelf.saved


def test_the_end_of_the_daemon_keeps_the_promises(hosts, held):
    create(held, "web", listening())
    held.service.close()
    assert set(hosts.shelf.saved) == {"web"}
    held.service.boot.remake()
    assert len(held.table) == 0


def test_one_whose_address_is_taken_is_told_and_stops_no_other(hosts, held):
    port, other = free_tcp_port(), free_tcp_port()
    create(held, "busy", listening(port))
    create(held, "other", listening(other))
    with rebooted_without(port, hosts, held) as new:
        told = named(new, "busy")
        assert (told.persist, told.owner, told.entry) == ("boot", Owner(ANN), None)
        assert told.failure is not None
        assert told.failure.symbol == "EADDRINUSE"
        assert told.retry_at == new.clock.time() + 1
        assert named(new, "other").entry is not None
    new.clock.now += 1
    new.service.boot.remake()
    made = named(new, "busy")
    assert made.entry is not None
    assert (made.failure, made.retry_at) == (None, None)


def test_it_is_tried_ever_less_often_and_at_least_once_a_minute(hosts, held):
    port = free_tcp_port()
    create(held, "busy", listening(port))
    held.service.close()
    held = hosts.start()
    pauses = []
    with taken(port):
        for _ in range(8):
            pauses.append(held.service.boot.remake())
            held.clock.now += pauses[-1]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert held.service.boot.remake() == LAST_RETRY_S
    assert named(held, "busy").entry is not None


def test_it_is_not_tried_before_its_time(hosts, held):
    port = free_tcp_port()
    create(held, "busy", listening(port))
    with rebooted_without(port, hosts, held) as new:
        assert len(new.table) == 0
    new.clock.now += 0.5
    assert new.service.boot.remake() == 0.5
    assert named(new, "busy").entry is None


def test_one_that_cannot_be_meant_any_more_stops_no_other(hosts, held):
    hosts.shelf.saved = {
        "odd": Saved("odd", Owner(ANN), {"famly": "inet"}),
        "peer": Saved("peer", Owner(ANN), {"connect": "127.0.0.1:1"}),
        "web": Saved("web", Owner(ANN), {"bind": "127.0.0.1:0", "listen": True}),
    }
    held.service.boot.remake()
    assert isinstance(named(held, "odd").failure, InvalidRequestError)
    assert isinstance(named(held, "peer").failure, InvalidRequestError)
    assert named(held, "web").entry is not None


def test_a_fault_of_ours_with_one_stops_no_other(hosts):
    def reading(document: Mapping[str, Any]) -> Any:
        if "type" in document:
            raise RuntimeError("a fault")
        return read(document)

    hosts.shelf.saved = {
        "odd": Saved("odd", Owner(ANN), {"type": "stream"}),
        "web": Saved("web", Owner(ANN), {}),
    }
    held = hosts.start(reading)
    held.service.boot.remake()
    assert named(held, "odd").failure is not None
    assert named(held, "web").entry is not None


def test_an_unreadable_one_is_shown_to_root_and_not_written_over(hosts):
    hosts.shelf.broken = ["web"]
    held = hosts.start()
    held.service.boot.remake()
    told = named(held, "web")
    assert (told.owner, told.entry, told.retry_at) == (None, None, None)
    assert isinstance(told.failure, UnreadableSpecificationError)
    with pytest.raises(UnknownSocketError):
        named(held, "web", ANN)
    for make in (create, ensure):
        with pytest.raises(UnreadableSpecificationError):
            make(held, "web", listening())
    entry, _ = ensure(held, "web", listening(persist=None))
    assert entry.persist is None
    held.service.names.delete(held.call(ROOT), "web")
    create(held, "web", listening())


def test_a_disk_that_cannot_be_read_is_tried_again(hosts, held):
    hosts.shelf.saved = {"web": Saved("web", Owner(ANN), {})}
    hosts.shelf.failing.add("load")
    assert [held.service.boot.remake() for _ in range(3)] == [1, 2, 4]
    with pytest.raises(NotSavedError):
        create(held, "other", listening())
    assert len(held.table) == 0
    hosts.shelf.failing.clear()
    assert held.service.boot.remake() == LAST_RETRY_S
    assert named(held, "web").entry is not None


def test_what_the_keeper_gave_back_is_not_made_again(hosts, held):
    entry = create(held, "web", listening())
    cookie = entry.cookie
    new = restarted(hosts, held)
    new.service.boot.remake()
    assert new.table.find("web").cookie == cookie
    assert len(new.table) == 1


def test_a_held_socket_whose_file_is_gone_is_no_longer_promised(hosts, held):
    create(held, "web", listening())
    hosts.shelf.saved.clear()
    new = restarted(hosts, held)
    new.service.boot.remake()
    assert new.table.find("web").persist is None
    new.service.close()


def test_a_held_socket_whose_file_is_there_is_promised(hosts, held):
    entry, _ = ensure(held, "web", listening(persist=None))
    hosts.shelf.saved = {"web": Saved("web", Owner(ANN), {"bind": where(entry), "listen": True})}
    new = restarted(hosts, held)
    new.service.boot.remake()
    assert new.table.find("web").persist == "boot"
    assert named(new, "web").entry is new.table.find("web")


def test_a_request_repeated_after_the_daemon_died_before_it_saved_is_saved(hosts, held):
    entry = create(held, "web", listening(), key="k")
    cookie, document = entry.cookie, hosts.shelf.saved["web"].document
    hosts.shelf.saved.clear()
    new = restarted(hosts, held)
    new.service.boot.remake()
    again = create(new, "web", declared(**document), key="k")
    assert (again.cookie, again.persist) == (cookie, "boot")
    assert set(hosts.shelf.saved) == {"web"}


def restarted(hosts: Hosts, old: Held) -> Held:
    """Kill the daemon and start another, to which the keeper gives back what it holds."""
    hosts.keeper.confirm()
    hosts.keeper.outlive(old.table)
    new = hosts.start()
    hosts.keeper.hand_back(new.table)
    return new


def test_declaring_it_again_saves_what_is_declared_now(hosts, held):
    wanted = listening()
    first, _ = ensure(held, "web", wanted)
    hosts.shelf.failing.add("save")
    assert ensure(held, "web", wanted) == (first, False)  # the same: the disk is left in peace
    hosts.shelf.failing.clear()
    ensure(held, "web", declared(bind="127.0.0.1:0", listen={"backlog": 9}))
    assert hosts.shelf.saved["web"].document["listen"] == {"backlog": 9}


def test_declaring_it_without_a_word_about_persisting_leaves_that(hosts, held):
    ensure(held, "web", listening())
    before = dict(hosts.shelf.saved)
    entry, is_new = ensure(held, "web", declared(None, listen=True))
    assert (is_new, entry.persist, hosts.shelf.saved) == (False, "boot", before)


def test_declaring_that_it_shall_not_persist_ends_the_promise(hosts, held):
    entry, _ = ensure(held, "web", listening())
    ensure(held, "web", listening(persist=False))
    assert (entry.closed, entry.persist, hosts.shelf.saved) == (False, None, {})
    hosts.keeper.confirm()
    assert hosts.keeper.copies[entry.fd].note.persist is None


def test_one_that_exists_can_be_promised_later(hosts, held):
    entry, _ = ensure(held, "web", listening(persist=None))
    assert ensure(held, "web", listening()) == (entry, False)
    assert (entry.persist, set(hosts.shelf.saved)) == ("boot", {"web"})
    assert hosts.keeper.copies[entry.fd].note.persist == "boot"


def test_one_that_differs_is_refused_and_its_promise_stands(hosts, held):
    ensure(held, "web", listening())
    before = dict(hosts.shelf.saved)
    with pytest.raises(DiffersError):
        ensure(held, "web", declared(type="dgram"))
    assert hosts.shelf.saved == before


def test_one_that_fails_can_be_declared_otherwise(hosts, held):
    port = free_tcp_port()
    create(held, "web", listening(port))
    with rebooted_without(port, hosts, held) as new:
        with pytest.raises(NameTakenError):
            create(new, "web", listening())
        entry, is_new = ensure(new, "web", listening(persist=None))
    assert is_new
    assert entry.persist == "boot"
    assert hosts.shelf.saved["web"].document["bind"] == "127.0.0.1:0"
    assert named(new, "web").failure is None


def test_one_that_fails_and_cannot_be_taken_back_is_not_made_otherwise(hosts, held):
    port = free_tcp_port()
    create(held, "web", listening(port))
    with rebooted_without(port, hosts, held) as new:
        hosts.shelf.failing.add("remove")
        with pytest.raises(NotSavedError):
            ensure(new, "web", listening(persist=False))
        assert len(new.table) == 0
        hosts.shelf.failing.clear()
        entry, is_new = ensure(new, "web", listening(persist=False))
    assert (is_new, entry.persist, hosts.shelf.saved) == (True, None, {})


def test_anothers_promise_is_out_of_sight_and_out_of_reach(hosts, held):
    port = free_tcp_port()
    create(held, "web", listening(port))
    with rebooted_without(port, hosts, held) as new:
        before = dict(hosts.shelf.saved)
        for make in (create, ensure):
            with pytest.raises(NameTakenError):
                make(new, "web", listening(), BOB)
        with pytest.raises(UnknownSocketError):
            named(new, "web", BOB)
        with pytest.raises(UnknownSocketError):
            new.service.names.delete(new.call(BOB), "web")
        assert new.service.names.all(new.call(BOB)) == []
        entry, _ = ensure(new, "web", listening(), ROOT)
    assert entry.owner == Owner(ANN)
    assert hosts.shelf.saved != before


def test_whoever_takes_the_name_meanwhile_keeps_it_and_the_promise_waits(hosts, held):
    port = free_tcp_port()
    create(held, "web", listening(port))
    with rebooted_without(port, hosts, held) as new:
        assert len(new.table) == 0
    bobs = new.service.sockets.create(
        new.call(BOB), specification(LOADS.load({})), Origin(Owner(BOB), "web"), None
    )
    new.clock.now += 1
    new.service.boot.remake()
    assert isinstance(named(new, "web", ANN).failure, NameTakenError)
    assert named(new, "web", ANN).entry is None
    assert named(new, "web", BOB).persist is None
    new.table.close(bobs)
    new.clock.now += 2
    new.service.boot.remake()
    assert named(new, "web", ANN).entry is not None


def test_a_promise_taken_back_while_its_socket_is_made_leaves_nothing(hosts, held):
    create(held, "web", declared(bind={"host": "localhost", "port": 0}, listen=True))
    held.service.close()
    held = hosts.start()

    def resolve(*question: Any) -> Any:
        held.service.names.delete(held.call(ANN), "web")
        return socket.getaddrinfo(*question)

    hosts.resolver = resolve
    held.service.boot.remake()
    assert (len(held.table), hosts.shelf.saved) == (0, {})
    with pytest.raises(UnknownSocketError):
        named(held, "web")


def test_one_closed_while_it_is_saved_is_not_promised(hosts, held):
    hosts.shelf.before["load"] = lambda: held.table.close(held.table.find("web"))
    with pytest.raises(ClosedMeanwhileError):
        create(held, "web", listening())
    assert not hosts.shelf.saved


def test_deleting_a_name_closes_its_socket_and_ends_the_promise(hosts, held):
    entry = create(held, "web", listening())
    with pytest.raises(StaleError):
        held.service.names.delete(held.call(ANN, expected=frozenset({entry.cookie + 1})), "web")
    held.service.names.delete(held.call(ANN, expected=frozenset({entry.cookie})), "web")
    assert entry.closed
    assert (hosts.shelf.saved, hosts.keeper.copies) == ({}, {})
    for name in ("web", "64", "no name"):
        with pytest.raises(UnknownSocketError):
            held.service.names.delete(held.call(ANN), name)


def test_deleting_a_promise_whose_socket_is_not_there_needs_no_etag(hosts, held):
    port = free_tcp_port()
    create(held, "web", listening(port))
    with rebooted_without(port, hosts, held) as new:
        assert len(new.table) == 0
    with pytest.raises(StaleError):
        new.service.names.delete(new.call(ANN, expected=frozenset({1})), "web")
    new.service.names.delete(new.call(ANN), "web")
    new.clock.now += 60
    new.service.boot.remake()
    assert (len(new.table), hosts.shelf.saved) == (0, {})


def test_a_number_is_no_name(held):
    entry = held.tcp()
    with pytest.raises(UnknownSocketError):
        named(held, entry.reference)


def test_names_are_listed_in_order_and_letting_others_run(held):
    for number in range(300):
        held.tcp(name=f"n{number:03}")
    held.tcp()
    listed = held.service.names.all(held.call())
    assert [each.name for each in listed] == [f"n{number:03}" for number in range(300)]


class Unix:
    """A promised Unix listener, and the file that a killed daemon leaves."""

    def __init__(self, hosts: Hosts, folder: Path, kind: str) -> None:
        self.path = folder / "x.sock"
        words = {"type": kind, "bind": str(self.path)} | ({"listen": True} if kind != "dgram" else {})
        hosts.shelf.saved = {"local": Saved("local", Owner(ANN), words)}
        self.kind = getattr(socket, f"SOCK_{kind.upper()}")

    def bound(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, self.kind)
        sock.bind(str(self.path))
        return sock


@pytest.mark.parametrize("kind", ["stream", "dgram", "seqpacket"])
def test_a_socket_file_that_a_killed_daemon_left_is_replaced(hosts, tmp_path, kind):
    unix = Unix(hosts, tmp_path, kind)
    unix.bound().close()
    held = hosts.start()
    held.service.boot.remake()
    entry = named(held, "local").entry
    assert entry is not None
    assert entry.sock.getsockname() == str(unix.path)


@pytest.mark.parametrize("kind", ["stream", "dgram", "seqpacket"])
def test_a_socket_file_that_is_in_use_is_left_alone_even_where_nobody_listens(hosts, tmp_path, kind):
    unix = Unix(hosts, tmp_path, kind)
    with unix.bound():
        inode = unix.path.lstat().st_ino
        held = hosts.start()
        held.service.boot.remake()
        assert named(held, "local").failure is not None
        assert unix.path.lstat().st_ino == inode


def test_a_file_that_is_no_socket_is_left_alone(hosts, tmp_path):
    unix = Unix(hosts, tmp_path, "stream")
    unix.path.write_text("kept")
    held = hosts.start()
    held.service.boot.remake()
    assert named(held, "local").failure is not None
    assert unix.path.read_text() == "kept"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_socket_file_of_another_user_is_left_alone(hosts, tmp_path):
    unix = Unix(hosts, tmp_path, "stream")
    unix.bound().close()
    os.chown(unix.path, 1234, 1234)
    held = hosts.start()
    held.service.boot.remake()
    assert named(held, "local").failure is not None
    assert unix.path.is_socket()


def test_a_path_stays_refused_to_who_asks_now(hosts, held, tmp_path):
    unix = Unix(hosts, tmp_path, "stream")
    unix.bound().close()
    held.service.boot.end()
    wanted = declared(bind=str(unix.path), listen=True)
    assert isinstance(wanted.wanted.bind, Address)
    with pytest.raises(Exception, match="Address already in use"):
        create(held, "mine", wanted)
