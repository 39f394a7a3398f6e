"""Sockets that are let go of, and who is told when the supervisor has let go of them too.

Ours stay open until then: the last duplicate to be closed may have to wait for unsent bytes (see ``held``),
and that is not to happen to the supervisor.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd.keeper import held as holds
from socketd.keeper.sending import Sent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from socketd.keeper.held import Held
    from socketd.keeper.notify import Supervisor

PATIENCE_S: Final = 2.0
"""So long the supervisor may take; the socket is closed then all the same, as far as it is ours."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Leaving:
    """Sockets on their way out.

    Attributes:
        done: Called once they are closed.
    """

    deadline: float
    held: Sequence[Held]
    done: Callable[[], None]

    def finish(self) -> None:
        """Close them and say so."""
        for each in self.held:
            holds.close(each)
        self.done()


class Barrier:
    """At most one barrier is under way; what comes meanwhile shares the next.

    Attributes:
        fd: A pipe that hangs up when the supervisor has done all it was told before; ``None`` for none.

    Source: sd_notify(3) BARRIER=1.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        """Use ``supervisor``'s channel."""
        self.fd: int | None = None
        self._supervisor = supervisor
        self._passing: deque[Leaving] = deque()
        self._next: deque[Leaving] = deque()

    @property
    def deadline(self) -> float | None:
        """When ``expire`` has something to do, by the monotonic clock."""
        for queue in (self._passing, self._next):
            if queue:
                return queue[0].deadline
        return None

    def wait(self, held: Sequence[Held], done: Callable[[], None]) -> None:
        """Take over ``held``; close them and call ``done`` when the supervisor is through, or out of time."""
        self._next.append(Leaving(time.monotonic() + PATIENCE_S, held, done))

    def flush(self) -> Sent:
        """Send the next barrier if one is due; all that shall be gone behind it has been said."""
        if self.fd is not None or not self._next:
            return Sent.YES
        try:
            reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:  # ENFILE: the whole system is out of them
            return Sent.LATER
        outcome = self._supervisor.send("BARRIER=1", [writing])
        os.close(writing)
        if outcome is not Sent.YES:
            os.close(reading)
            return outcome
        self.fd = reading
        self._passing, self._next = self._next, deque()
        return Sent.YES

    def passed(self) -> None:
        """``fd`` has hung up: finish what waited for it."""
        self._close()
        finished, self._passing = self._passing, deque()
        for each in finished:
            each.finish()

    def expire(self, now: float) -> None:
        """Finish what has waited long enough."""
        late = 0
        for queue in (self._passing, self._next):
            while queue and queue[0].deadline <= now:
                queue.popleft().finish()
                late += 1
        if late:
            log.warning("forgot %d times without the supervisor's word, after %g s", late, PATIENCE_S)
        if not self._passing:
            self._close()

    def give_up(self) -> None:
        """Finish everything: nobody is there to wait for."""
        self.passed()
        self._passing, self._next = self._next, deque()
        self.passed()

    def _close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def nobody_waits() -> None:
    """Be a ``done`` that does nothing: no message asked for this."""
