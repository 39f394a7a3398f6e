"""How many each has: counted as things come and go, so that asking costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socketd.core.owner import Owner


class Tally:
    """Counts by owner; who has nothing takes no room."""

    def __init__(self) -> None:
        self._counts: dict[Owner, int] = {}
        self.total = 0

    def of(self, owner: Owner) -> int:
        """How many somebody has."""
        return self._counts.get(owner, 0)

    def add(self, owner: Owner) -> None:
        """Count one more."""
        self._counts[owner] = self.of(owner) + 1
        self.total += 1

    def discard(self, owner: Owner) -> None:
        """Count one less."""
        self.total -= 1
        left = self.of(owner) - 1
        if left:
            self._counts[owner] = left
        else:
            del self._counts[owner]
