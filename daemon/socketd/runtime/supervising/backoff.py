"""How long to wait before what has died is started again."""

from __future__ import annotations

FIRST_S = 0.1
LONGEST_S = 5.0
GOOD_AFTER_S = 10.0


class Backoff:
    """No time at first, then 0.1 s, doubled up to 5 s; none again once it was up for ten."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def after(self, up_s: float) -> float:
        """Return the time to wait, after what was up for ``up_s`` has died."""
        if up_s >= GOOD_AFTER_S:
            self._next_s = 0.0
        delay_s = self._next_s
        self._next_s = min(max(2 * delay_s, FIRST_S), LONGEST_S)
        return delay_s
