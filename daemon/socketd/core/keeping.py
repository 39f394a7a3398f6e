"""A daemon without a keeper: its sockets live as long as it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from socketd.core.entry import Entry, Note
    from socketd.core.seams import Arrival, Keeper


class NotTold:
    """A connection that no keeper hears of now."""

    __slots__ = ()

    def store(self, fd: int) -> None:
        """Send nothing."""

    def drop(self) -> None:
        """Do nothing."""


class Alone:
    """No keeper: nothing is told to anybody, and nothing waits."""

    __slots__ = ()

    def store(self, entry: Entry, group: int = 0) -> None:
        """Keep no copy."""

    def expect(self, number: int, note: Note) -> Arrival:
        """Keep no copy."""
        del number, note
        return NOT_TOLD

    def update(self, entry: Entry) -> None:
        """Tell nobody."""

    def forget(self, number: int) -> None:
        """Tell nobody."""

    def group(self) -> int:
        """Begin nothing."""
        return 0

    def confirm(self, group: int = 0) -> None:
        """Return at once."""

    def state(self) -> str:
        """Say that there is none."""
        return "none"


NOT_TOLD: Final[Arrival] = NotTold()
ALONE: Final[Keeper] = Alone()
