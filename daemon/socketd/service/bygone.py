"""Forwards that have ended: the newest of each owner are remembered a while."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd.core.owner import Owner
    from socketd.service.forwarding import Forward

REMEMBERED_S: Final = 600.0
MOST_OF_ONE: Final = 256
"""Of one owner."""


class Bygone:
    """Ended forwards by id, in the order in which they ended."""

    def __init__(self) -> None:
        self._forwards: OrderedDict[str, tuple[float, Forward]] = OrderedDict()
        self._of: dict[Owner, deque[str]] = {}

    def __iter__(self) -> Iterator[Forward]:
        """Give them, the first to end first."""
        return iter([forward for _, forward in self._forwards.values()])

    def add(self, forward: Forward, now: float) -> None:
        """Remember one that has ended ``now`` (monotonic seconds); older ones give way to it."""
        self._forwards[forward.id] = now, forward
        own = self._of.setdefault(forward.owner, deque())
        own.append(forward.id)
        if len(own) > MOST_OF_ONE:
            del self._forwards[own.popleft()]
        self.forget(now)

    def get(self, identifier: str) -> Forward | None:
        """Look one up."""
        found = self._forwards.get(identifier)
        return None if found is None else found[1]

    def forget(self, now: float) -> None:
        """Forget those that ended too long ago."""
        while self._forwards:
            identifier, (at, forward) = next(iter(self._forwards.items()))
            if at + REMEMBERED_S > now:
                return
            del self._forwards[identifier]
            own = self._of[forward.owner]
            own.popleft()  # in both they stand in the order in which they ended
            if not own:
                del self._of[forward.owner]
