"""When a program counts as ready, how long it may take to end, and when it is started again."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Final

NEVER: Final = "never"
ON_FAILURE: Final = "on-failure"
ALWAYS: Final = "always"
STABLE_S: Final = 10.0  # a program that served this long crashes for the first time again


@dataclass(frozen=True, slots=True)
class Policy:
    """How ``run`` treats the program.

    Attributes:
        ready_delay_s: A program that still runs then counts as ready; ``None``: only READY=1 counts.
        start_timeout_s: How long READY=1 may take.
        stop_timeout_s: From the stop signal to SIGKILL.
        stop_signal: Ends the program gracefully.
        restart: ``never``, ``on-failure`` or ``always``.
        restart_delay_s: Before the first restart; each next one waits twice as long.
        restart_delay_max_s: But never longer than this.
        max_restarts: After so many in a row, give up; ``None``: never.
    """

    ready_delay_s: float | None = 1.0
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 30.0
    stop_signal: signal.Signals = signal.SIGTERM
    restart: str = ON_FAILURE
    restart_delay_s: float = 0.1
    restart_delay_max_s: float = 30.0
    max_restarts: int | None = None


class Backoff:
    """Counts crashes in a row, and says how long to wait after each."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.crashes = 0

    def crashed(self, served_s: float) -> float | None:
        """Count a crash; return the seconds to wait, ``None`` to give up."""
        if served_s >= STABLE_S:
            self.crashes = 0
        if self._policy.max_restarts is not None and self.crashes >= self._policy.max_restarts:
            return None
        longest = self._policy.restart_delay_max_s
        # 2**64 is beyond every longest wait, and still a float.
        delay = min(longest, self._policy.restart_delay_s * 2.0 ** min(self.crashes, 64))
        self.crashes += 1
        return delay

    def wants_restart(self, status: int) -> bool:
        """Tell whether a program that ended with ``status`` is started again."""
        return self._policy.restart == ALWAYS or (self._policy.restart == ON_FAILURE and status != 0)
