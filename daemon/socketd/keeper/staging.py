"""What a daemon has sent as part of a group that it has not committed yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socketd.keeper import held as holds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from socketd.keeper.held import Held


class Staging:
    """Staged sockets by group; it owns them."""

    def __init__(self) -> None:
        self._groups: dict[int, dict[int, Held]] = {}
        self._group_of: dict[int, int] = {}

    def add(self, group: int, held: Held) -> None:
        """Take ownership of ``held``; what was staged with its number is closed."""
        self.drop([held.number])
        self._groups.setdefault(group, {})[held.number] = held
        self._group_of[held.number] = group

    def commit(self, group: int) -> list[Held]:
        """Hand over what is staged with ``group``; nothing where nothing is."""
        committed = list(self._groups.pop(group, {}).values())
        for held in committed:
            del self._group_of[held.number]
        return committed

    def update(self, number: int, note: bytes) -> None:
        """Keep another note with ``number``, if it is staged."""
        group = self._group_of.get(number)
        if group is not None:
            self._groups[group][number].note = note

    def drop(self, numbers: Iterable[int]) -> None:
        """Close those of ``numbers`` that are staged."""
        for number in numbers:
            group = self._group_of.pop(number, None)
            if group is not None:
                holds.close(self._groups[group].pop(number))

    def close(self) -> None:
        """Close everything: the daemon is gone."""
        self.drop(list(self._group_of))
        self._groups.clear()
