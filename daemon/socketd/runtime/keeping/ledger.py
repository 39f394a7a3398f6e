"""What the keeper should know, whether it can be told at the moment or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from socketd.errors import UnknownSocketError
from socketd.runtime.keeping.groups import Groups
from socketd.runtime.keeping.parcels import (
    CommitParcel,
    LoanParcel,
    StoreParcel,
    UpdateParcel,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from socketd.core.entry import Entry
    from socketd.core.table import SocketTable
    from socketd.runtime.keeping.parcels import Outbox, Parcel
    from socketd.runtime.keeping.resuming import Identity

KEPT: Final = "keeper"
UNKEPT: Final = "daemon"


class Ledger:
    """The held sockets as the keeper is to see them, and what it was not told yet.

    Attributes:
        groups: What it is to hold together.
        label: ``kept`` of a socket that the keeper's supervisor has, too.
    """

    def __init__(self) -> None:
        self.groups = Groups()
        self.label = KEPT
        self._table: SocketTable | None = None
        self._foreign: Sequence[Identity] = ()
        self._stale: set[int] = set()  # whose note the keeper has not got
        self._forgotten: set[int] = set()

    def open(self, table: SocketTable, foreign: Sequence[Identity]) -> None:
        """Begin, with what was had back.

        Args:
            table: What is held.
            foreign: What the keeper shall go on holding besides.
        """
        self._table, self._foreign = table, foreign

    def __len__(self) -> int:
        return len(self._entries())

    # --- while the keeper is away -------------------------------------------------------------------------

    def update(self, number: int) -> None:
        """Note that a note has changed."""
        self._stale.add(number)

    def forget(self, number: int) -> None:
        """Note that a socket is gone."""
        self._forgotten.add(number)

    def lost(self, parcels: Iterable[Parcel]) -> None:
        """Note what was said in vain; what was to be stored or forgotten, the next comparison finds out."""
        for parcel in parcels:
            if isinstance(parcel, UpdateParcel):
                self._stale.update(parcel.records)

    def mark_unkept(self) -> None:
        """Note that nobody is known to have a copy of anything."""
        for entry in self._entries():
            entry.kept = UNKEPT

    # --- what the keeper says -----------------------------------------------------------------------------

    def done(self, parcel: Parcel) -> None:
        """Note that the copies are there."""
        if isinstance(parcel, StoreParcel) and not parcel.group:
            _mark(entry for entry, _ in parcel.stored)
        elif isinstance(parcel, CommitParcel):
            _mark(self.groups.close(parcel.group))
        elif isinstance(parcel, LoanParcel):
            _mark(self._held([parcel.number]))

    def stored(self, changes: Iterable[tuple[int, bool]]) -> None:
        """Note what the supervisor has, and what no longer."""
        for number, is_stored in changes:
            for entry in self._held([number]):
                entry.kept = self.label if is_stored else KEPT

    # --- after a break ------------------------------------------------------------------------------------

    def identities(self) -> list[Identity]:
        """Return all that the keeper may go on holding; what is in a group it gets again, as a group.

        What is forgotten from now on is remembered until ``tell``.
        """
        self._forgotten.clear()
        staged = self.groups.staged()
        ours = [(entry.fd, entry.inode) for entry in self._entries() if entry.fd not in staged]
        return [*ours, *self._foreign]

    def tell(self, outbox: Outbox, retained: set[Identity], missing: set[int]) -> None:
        """Put into ``outbox`` all that the keeper does not know.

        Args:
            outbox: Gets it.
            retained: What ``identities`` returned.
            missing: The numbers among them that the keeper has not got.
        """
        for number in self._forgotten:
            outbox.forget(number)
        staged = self.groups.staged()
        for entry in self._entries():
            if entry.fd not in missing and (entry.fd, entry.inode) in retained:
                _mark([entry])
            elif entry.fd not in staged:
                outbox.store(entry, 0)
        self.groups.tell(outbox)
        for entry in self._held(self._stale):
            outbox.update(entry)
        self._stale.clear()
        self._forgotten.clear()

    def _entries(self) -> list[Entry]:
        """Return what is to have a copy: not what may yet come to nothing, and so would hold a port."""
        entries = [] if self._table is None else self._table.entries()
        return [entry for entry in entries if entry.is_finished]

    def _held(self, numbers: Iterable[int]) -> list[Entry]:
        found = []
        for number in numbers:
            try:
                if self._table is not None:
                    found.append(self._table.find(number))
            except UnknownSocketError:
                continue  # closed meanwhile
        return found


def _mark(entries: Iterable[Entry]) -> None:
    for entry in entries:
        if entry.kept == UNKEPT:
            entry.kept = KEPT
