"""Groups of sockets that the keeper is to hold together or not at all, until it does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from socketd.keeper import protocol
from socketd.runtime.keeping.parcels import CommitParcel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from socketd.core.entry import Entry
    from socketd.runtime.keeping.parcels import Outbox


@dataclass(slots=True, eq=False)
class Group:
    """One of them.

    Attributes:
        entries: By number.
        is_complete: Nothing is added any more: it was said that all of it is to be held.
    """

    entries: dict[int, Entry] = field(default_factory=dict)
    is_complete: bool = False


class Groups:
    """Those that the keeper does not hold yet, as far as we know."""

    def __init__(self) -> None:
        self._last = 0
        self._open: dict[int, Group] = {}

    def begin(self) -> int:
        """Return a number for a new one."""
        self._last = protocol.following(self._last)
        return self._last

    def add(self, number: int, entry: Entry) -> None:
        """Count ``entry`` among the group's."""
        self._open.setdefault(number, Group()).entries[entry.fd] = entry

    def complete(self, number: int) -> bool:
        """Say that nothing is added any more; ``False`` if there is nothing in it."""
        if number not in self._open:
            return False
        self._open[number].is_complete = True
        return True

    def close(self, number: int) -> Iterable[Entry]:
        """Forget a group that the keeper holds; return what was in it."""
        group = self._open.pop(number, None)
        return () if group is None else group.entries.values()

    def drop(self, fd: int) -> None:
        """Take out a socket that is closed; a group that came to nothing goes with its last."""
        for number, group in list(self._open.items()):
            if group.entries.pop(fd, None) is not None and not group.entries and not group.is_complete:
                del self._open[number]

    def staged(self) -> set[int]:
        """Return the numbers of all sockets that are in one."""
        return {fd for group in self._open.values() for fd in group.entries}

    def tell(self, outbox: Outbox) -> None:
        """Put all of them into ``outbox``, as if they had just been made."""
        for number, group in self._open.items():
            for entry in group.entries.values():
                outbox.store(entry, number)
            if group.is_complete:
                outbox.put(CommitParcel(number))
