"""All that is held, by number; each message's work in it takes the same time however much there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socketd.keeper import held as holds
from socketd.keeper.barrier import nobody_waits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from socketd.keeper.copies import Copies
    from socketd.keeper.held import Held


class Holding:
    """The second copies.

    Attributes:
        copies: The third ones.
        last_number: The highest number ever held; 0 if none was.
    """

    def __init__(self, copies: Copies, returned: Iterable[Held]) -> None:
        """Begin with what the supervisor gave back, which is ours from now on."""
        self.copies = copies
        self._held = {held.number: held for held in sorted(returned, key=lambda held: held.number)}
        self.last_number = max([copies.last_number, *self._held])

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, number: int) -> bool:
        return number in self._held

    def get(self, number: int) -> Held | None:
        """Return what is held as ``number``."""
        return self._held.get(number)

    def numbers(self) -> list[int]:
        """Return all numbers, the oldest first."""
        return list(self._held)

    def hold(self, held: Held) -> None:
        """Take ownership of ``held``; what had its number is closed."""
        before = self._held.pop(held.number, None)
        self._held[held.number] = held
        if before is None:
            self.copies.add(held)
        else:
            self.copies.replace(before, held)
        if held.number > self.last_number:
            self.last_number = held.number
            self.copies.remember(held.number)

    def update(self, number: int, note: bytes) -> None:
        """Keep another note with ``number``, if it is held."""
        held = self._held.get(number)
        if held is not None:
            held.note = note
            self.copies.update(held)

    def forget(self, numbers: Iterable[int], done: Callable[[], None]) -> None:
        """Close those of ``numbers`` that are held; call ``done`` when the supervisor's copies are gone."""
        found = [held for number in numbers if (held := self._held.pop(number, None)) is not None]
        self.copies.release(found, done)

    def retain(self, inodes: Mapping[int, int]) -> list[int]:
        """Forget all but these numbers with these inodes; return those of them that are not held."""
        others = [number for number, held in self._held.items() if inodes.get(number) != held.inode]
        self.forget(others, nobody_waits)
        return [number for number in inodes if number not in self._held]

    def close(self) -> None:
        """Let go of everything; the supervisor keeps its copies."""
        self.copies.close()
        for held in self._held.values():
            holds.close(held)
        self._held.clear()
