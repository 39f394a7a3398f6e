"""A keeper in this process: it holds real second copies, and writes down all that it is told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from socketd.core.placing import place

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.core.entry import Entry, Note
    from socketd.core.table import SocketTable


@dataclass
class Copy:
    """A second copy of a socket, and what is noted beside it."""

    fd: int
    note: Note


@dataclass
class Recorded:
    """A connection that is about to come."""

    keeper: RecordingKeeper
    number: int
    note: Note

    def store(self, fd: int) -> None:
        self.keeper.accepted(fd, self.number, self.note)

    def drop(self) -> None:
        self.keeper.said.append(("drop", self.number))


class RecordingKeeper:
    """``core.seams.Keeper``, as late as it may be: what need not be done before a ``confirm`` is done then.

    Attributes:
        said: What it was told, in order: the method with the number of the socket or of the group.
        copies: What it holds, by number.
        staged: What it is to hold once its group is confirmed, by group and number.
        is_up: While it is not, it only listens.
    """

    def __init__(self) -> None:
        self.said: list[tuple[str, int]] = []
        self.copies: dict[int, Copy] = {}
        self.staged: dict[int, dict[int, Copy]] = {}
        self.is_up = True
        self._groups = 0
        self._queue: list[Callable[[], None]] = []

    def store(self, entry: Entry, group: int = 0) -> None:
        self.said.append(("store", entry.fd))
        self._queue.append(lambda: self._store(entry, group))

    def expect(self, number: int, note: Note) -> Recorded:
        return Recorded(self, number, note)

    def update(self, entry: Entry) -> None:
        self.said.append(("update", entry.fd))
        self._queue.append(lambda: self._update(entry))

    def forget(self, number: int) -> None:
        self.said.append(("forget", number))
        self._queue.append(lambda: self._forget(number))

    def group(self) -> int:
        self._groups += 1
        self.said.append(("group", self._groups))
        return self._groups

    def confirm(self, group: int = 0) -> None:
        self.said.append(("confirm", group))
        if self.is_up:
            self._do()
            self.copies |= self.staged.pop(group, {})

    def state(self) -> str:
        return "up" if self.is_up else "away"

    def told(self, *methods: str) -> list[int]:
        """Return the numbers that these methods were called with."""
        return [number for method, number in self.said if method in methods]

    def outlive(self, table: SocketTable) -> None:
        """Be what is left when the daemon of ``table`` is killed: what was only staged or queued is lost."""
        for entry in table.entries():
            entry.sock.close()
            entry.closed = True  # nobody is left to close it once more
        self._queue.clear()
        for group in self.staged.values():
            _close(group)
        self.staged.clear()

    def hand_back(self, table: SocketTable) -> None:
        """Give all of it to the next daemon's table, as at its start."""
        received = [(os.dup(copy.fd), number) for number, copy in self.copies.items()]
        place(received)
        for number, copy in self.copies.items():
            table.restore(number, copy.note, "keeper")

    def close(self) -> None:
        """Close every copy."""
        for copies in (self.copies, *self.staged.values()):
            _close(copies)
        self.copies, self.staged = {}, {}

    def accepted(self, fd: int, number: int, note: Note) -> None:
        """Hold a connection that has just come."""
        self.said.append(("store_accepted", number))
        if self.is_up:
            self._do()
            self.copies[number] = Copy(os.dup(fd), note)

    def _do(self) -> None:
        for act in self._queue:
            act()
        self._queue.clear()

    def _store(self, entry: Entry, group: int) -> None:
        if not entry.closed:
            shelf = self.staged.setdefault(group, {}) if group else self.copies
            shelf[entry.fd] = Copy(os.dup(entry.fd), entry.note())
            entry.kept = "keeper"

    def _update(self, entry: Entry) -> None:
        for shelf in (self.copies, *self.staged.values()):
            if entry.fd in shelf:
                shelf[entry.fd].note = entry.note()

    def _forget(self, number: int) -> None:
        for shelf in (self.copies, *self.staged.values()):
            if number in shelf:
                os.close(shelf.pop(number).fd)


def _close(copies: dict[int, Copy]) -> None:
    for copy in copies.values():
        os.close(copy.fd)
