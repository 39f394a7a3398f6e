"""Services on one disk in memory, one after the other as at reboots, and short ways to ask them."""

from __future__ import annotations

import errno
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from socketd.core.saving import Unreadable
from socketd.errors import NotSavedError, UnreadableSpecificationError
from socketd.service import Archive
from socketd.service.boot import Declaration
from socketd.web.schemas.sockets import SpecificationSchema
from socketd.web.specification import read, specification
from tests.held import ANN, ROOT, Held
from tests.recording_keeper import RecordingKeeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from socketd.core.entry import Entry
    from socketd.core.saving import Saved
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


def restarted(hosts: Hosts, old: Held) -> Held:
    """Kill the daemon and start another, to which the keeper gives back what it holds."""
    hosts.keeper.confirm()
    hosts.keeper.outlive(old.table)
    new = hosts.start()
    hosts.keeper.hand_back(new.table)
    return new
