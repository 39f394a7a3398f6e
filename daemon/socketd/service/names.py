"""Names: those of held sockets, and those that are promised and whose sockets could not be made yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd.core.naming import NAME
from socketd.core.saving import BOOT
from socketd.errors import StaleError, UnknownSocketError
from socketd.service import changes
from socketd.service.journal import journaled

if TYPE_CHECKING:
    from socketd.core.entry import Entry
    from socketd.core.owner import Owner
    from socketd.errors import SocketdError
    from socketd.service.call import Call
    from socketd.service.ground import Ground
    from socketd.service.promises import Promise, Promises

_GIVE_WAY_EVERY: Final = 256


@dataclass(frozen=True, slots=True)
class Named:
    """A name, and what it stands for.

    Attributes:
        owner: ``None`` where a file that cannot be read has the name.
        persist: ``"boot"`` if it is promised.
        entry: The held socket; ``None`` if there is none yet.
        failure: Why a promised one could not be made.
        retry_at: When that is tried again, in Unix seconds; ``None`` if it is not.
    """

    name: str
    owner: Owner | None
    persist: str | None
    entry: Entry | None
    failure: SocketdError | None = None
    retry_at: float | None = None


class Names:
    """What exists by name for a caller."""

    def __init__(self, ground: Ground, promises: Promises) -> None:
        self._table = ground.table
        self._keeper = ground.keeper
        self._clock = ground.clock
        self._journal = ground.journal
        self._promises = promises

    def all(self, call: Call) -> list[Named]:
        """List the caller's names (those that it may see), in alphabetical order; others run meanwhile."""
        names = {entry.name for entry in self._table.entries() if entry.name is not None}
        names.update(promise.saved.name for promise in self._promises.all())
        names.update(self._promises.unreadable)
        found = []
        for count, name in enumerate(sorted(names), start=1):
            if count % _GIVE_WAY_EVERY == 0:
                call.waiter.give_way()
            named = self._named(call, name)
            if named is not None:
                found.append(named)
        return found

    def get(self, call: Call, name: str) -> Named:
        """Look one up.

        Raises:
            UnknownSocketError: There is none for this caller.
        """
        named = self._named(call, name) if NAME.fullmatch(name) else None
        if named is None:
            raise UnknownSocketError(name)
        return named

    @journaled(changes.CLOSED)
    def delete(self, call: Call, name: str) -> None:
        """Close the socket of that name, and promise it no longer.

        Raises:
            UnknownSocketError: There is neither for this caller.
            StaleError: ``If-Match`` names another socket.
            NotSavedError: The promise cannot be taken back; nothing is closed.
        """
        named = self.get(call, name)
        if named.entry is None:
            if call.expected is not None:
                raise StaleError(name)
            self._promises.take_back(name)
            self._journal.note(call, changes.UNPERSISTED, None, name)
            return
        entry = call.find(self._table, name)
        if entry.persist is None and named.persist is not None:
            self._promises.take_back(name)  # it is not this socket's, which only has the name
        with self._promises.taken_back((entry,)):
            self._table.close(entry)
            self._journal.note(call, changes.CLOSED, entry)
        self._keeper.confirm()

    def _named(self, call: Call, name: str) -> Named | None:
        entry, promise = self._entry(call, name), self._promise(call, name)
        if promise is not None:
            return self._promised(promise, entry)
        owner = None if entry is None else entry.owner
        unreadable = self._promises.unreadable.get(name)
        if unreadable is not None and call.guard.sees_all(call.caller):
            return Named(name, owner, BOOT, entry, unreadable)
        return None if entry is None else Named(name, owner, entry.persist, entry)

    def _promised(self, promise: Promise, entry: Entry | None) -> Named:
        saved = promise.saved
        if self._promises.is_met(promise):
            return Named(saved.name, saved.owner, BOOT, entry)
        retry_at = None
        if promise.failure is not None:
            retry_at = self._clock.time() + promise.retry_at - self._clock.monotonic()
        return Named(saved.name, saved.owner, BOOT, entry, promise.failure, retry_at)

    def _entry(self, call: Call, name: str) -> Entry | None:
        entry = self._table.find(name) if self._table.has_name(name) else None
        return entry if entry is not None and call.may_see(entry.owner) else None

    def _promise(self, call: Call, name: str) -> Promise | None:
        promise = self._promises.get(name)
        return promise if promise is not None and call.may_see(promise.saved.owner) else None
