"""How many requests of each caller wait at the same time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from socketd.core.tally import Tally
from socketd.errors import QuotaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd.core.owner import Owner
    from socketd.core.seams import Pause, Waiter

Waits = Tally
"""Those that wait now."""


class CountedWaiter:
    """How one request waits (``core.seams.Waiter``), as far as the caller's quota goes.

    Args:
        waiter: How it waits.
        waits: Counts them.
        owner: Who waits.
        bounds: Most waits of this caller, and of all together; ``None``: not bounded here.
    """

    __slots__ = ("_bounds", "_owner", "_waiter", "_waits", "check", "give_way")

    def __init__(
        self, waiter: Waiter, waits: Waits, owner: Owner, bounds: tuple[int | None, int | None]
    ) -> None:
        self._waiter = waiter
        self._waits = waits
        self._owner = owner
        self._bounds = bounds
        self.check = waiter.check
        self.give_way = waiter.give_way

    def half_open(self) -> CountedWaiter:
        """Return the same for a client that may end its sending side and stay; counted as before."""
        return CountedWaiter(self._waiter.half_open(), self._waits, self._owner, self._bounds)

    @contextmanager
    def pause(self) -> Iterator[Pause]:
        """Begin a wait.

        Raises:
            QuotaError: As many wait already as may.
            TooManyWaitsError, ShuttingDownError: As the waiter.
        """
        own, total = self._bounds
        if own is not None and self._waits.of(self._owner) >= own:
            raise QuotaError(f"{own} requests of yours wait already", hint="ask again in a moment")
        if total is not None and self._waits.total >= total:
            raise QuotaError(f"{total} requests wait already", hint="ask again in a moment")
        with self._waiter.pause() as pause:
            self._waits.add(self._owner)
            try:
                yield pause
            finally:
                self._waits.discard(self._owner)
