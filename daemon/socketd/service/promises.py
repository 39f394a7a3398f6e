"""Which sockets shall be there again after a reboot: the same in memory as on the disk."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from socketd.core.saving import BOOT, Saved
from socketd.errors import ClosedMeanwhileError, NameTakenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from socketd.core.entry import Entry
    from socketd.core.seams import Keeper, SpecificationStore
    from socketd.core.table import SocketTable
    from socketd.errors import SocketdError

FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 60.0

log = logging.getLogger(__name__)


def longer(pause_s: float) -> float:
    """Wait twice as long as the last time, within bounds."""
    return min(max(2 * pause_s, FIRST_RETRY_S), LAST_RETRY_S)


@dataclass(slots=True, eq=False)
class Promise:
    """A saved specification, and how far it is from being a socket.

    Attributes:
        failure: Why its socket could not be made the last time.
        retry_at: When it is tried again, in seconds of the monotonic clock.
        pause_s: How long it waited for that, or will after the first failure.
    """

    saved: Saved
    failure: SocketdError | None = None
    retry_at: float = 0.0
    pause_s: float = 0.0

    def fail(self, error: SocketdError, now: float) -> None:
        """Note why, and wait twice as long as before."""
        self.failure = error
        self.pause_s = longer(self.pause_s)
        self.retry_at = now + self.pause_s

    def succeed(self) -> None:
        """Forget what failed."""
        self.failure, self.retry_at, self.pause_s = None, 0.0, 0.0


class Promises:
    """Keeps them, and takes them back.

    One change at a time: whoever saves or takes back may wait for the disk, and what is decided by looking
    at the table must be true still when the disk has done it.

    Args:
        table: Where promised sockets are held.
        store: The disk.
        keeper: Is told when ``persist`` of a held socket changes.
    """

    def __init__(self, table: SocketTable, store: SpecificationStore, keeper: Keeper) -> None:
        self._table = table
        self._store = store
        self._keeper = keeper
        self._lock = threading.Lock()
        self._known: dict[str, Promise] = {}
        self._unreadable: dict[str, SocketdError] = {}
        self._is_loaded = False

    def load(self) -> None:
        """Read what was saved, once; entries that came from the keeper are brought into line with it.

        Raises:
            NotSavedError: The disk cannot be read. Ask again later; nothing can be promised until then.
        """
        with self._lock:
            self._load()

    def get(self, name: str) -> Promise | None:
        """Look one up."""
        return self._known.get(name)

    def all(self) -> list[Promise]:
        """All of them."""
        return list(self._known.values())

    @property
    def unreadable(self) -> Mapping[str, SocketdError]:
        """Names whose files cannot be understood, and why."""
        return self._unreadable

    def is_met(self, promise: Promise) -> bool:
        """Whether its owner has a held socket of that name."""
        saved = promise.saved
        return self._table.has_name(saved.name) and self._table.find(saved.name).owner == saved.owner

    def unmet(self) -> list[Promise]:
        """Those whose sockets are not there."""
        return [promise for promise in self._known.values() if not self.is_met(promise)]

    def check_new(self, name: str) -> None:
        """Refuse a name that cannot be promised to a new socket.

        Raises:
            NameTakenError: It is promised, and its socket could not be made yet.
            UnreadableSpecificationError: Its file is left alone.
        """
        self.check_readable(name)
        if name in self._known and not self._table.has_name(name):
            raise NameTakenError(name)

    def check_readable(self, name: str) -> None:
        """Refuse to write over a file that is not understood.

        Raises:
            UnreadableSpecificationError: It is such a one.
        """
        if name in self._unreadable:
            raise self._unreadable[name]

    def keep(self, entry: Entry, document: Mapping[str, Any]) -> None:
        """Promise that ``entry`` will be there again; on return the promise is on the disk.

        Raises:
            NotSavedError, InvalidRequestError: It is not promised.
            ClosedMeanwhileError: There is nothing to promise.
        """
        name = entry.name or ""
        with self._lock:
            self._load(entry)
            if entry.closed:
                raise ClosedMeanwhileError(entry.reference, "write")
            self.check_readable(name)
            saved = Saved(name, entry.owner, document)
            self._store.save(saved)
            self._known[name] = Promise(saved)
            self._set(entry, BOOT)

    def take_back(self, name: str, entry: Entry | None = None) -> None:
        """Promise no longer; a held socket of that name stays as it is.

        Raises:
            NotSavedError: It is promised still.
        """
        with self._lock:
            self._remove((name,))
            if entry is not None and not entry.closed:
                self._set(entry, None)

    @contextmanager
    def taken_back(self, entries: Iterable[Entry]) -> Iterator[None]:
        """Take back what was promised of sockets that the body closes on purpose.

        That comes first: should the daemon die in between, what was closed does not come back.

        Raises:
            NotSavedError: Nothing is closed.
        """
        names = tuple(entry.name for entry in entries if entry.persist is not None and entry.name is not None)
        if not names:
            yield
            return
        with self._lock:
            self._remove(names)
            yield

    def _remove(self, names: Sequence[str]) -> None:
        self._store.remove(names)
        for name in names:
            self._known.pop(name, None)
            self._unreadable.pop(name, None)

    def _load(self, but: Entry | None = None) -> None:
        if self._is_loaded:
            return
        for found in self._store.load():
            if isinstance(found, Saved):
                self._known[found.name] = Promise(found)
            else:
                self._unreadable[found.name] = found.error
                log.error("the socket %s is not made again: %s", found.name, found.error)
        self._is_loaded = True
        for entry in self._table.entries():
            if entry is not but:  # that one is about to be promised
                self._align(entry)

    def _align(self, entry: Entry) -> None:
        """Believe the disk: a daemon may have died between it and what the keeper has noted."""
        promise = self._known.get(entry.name or "")
        is_promised = promise is not None and promise.saved.owner == entry.owner
        if is_promised != (entry.persist is not None):
            log.warning("socket %s (%s) persists: %s", entry.fd, entry.name, BOOT if is_promised else "no")
            self._set(entry, BOOT if is_promised else None)

    def _set(self, entry: Entry, persist: str | None) -> None:
        if entry.persist != persist:
            entry.persist = persist
            self._keeper.update(entry)
