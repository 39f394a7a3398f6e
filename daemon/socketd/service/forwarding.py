"""One forward: two held sockets joined inside the daemon, what has moved, and how it ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from socketd.core.pumping import Ending
from socketd.service.changes import Half

if TYPE_CHECKING:
    from socketd.core.entry import Entry
    from socketd.core.owner import Owner
    from socketd.core.pumping import Flow
    from socketd.core.seams import Pause
    from socketd.service.call import Call

RUNNING: Final = "running"
ENDED: Final = "ended"
KEEP: Final = "keep"
CLOSE: Final = "close"
OnEnd = Literal["keep", "close"]


@dataclass(slots=True, eq=False)
class Forward:
    """Two sockets joined, or how that ended.

    Attributes:
        id: Never given again, by a later daemon either.
        entries: The first and the second; they may be closed by now.
        on_end: ``close``: both are closed when it has ended, however, unless by the end of the daemon.
        created_at: Unix seconds.
        ended_at: Unix seconds; ``None`` while it runs.
        ending: How it ended; ``None`` while it runs.
        stopped_by: The request that is about to end it.
        is_settled: It has ended, and all that this brings with it has been done.
        waiting: Who waits for that.
    """

    id: str
    entries: tuple[Entry, Entry]
    owner: Owner
    on_end: OnEnd
    created_at: float
    ended_at: float | None = None
    ending: Ending | None = None
    stopped_by: Call | None = None
    is_settled: bool = False
    waiting: set[Pause] = field(default_factory=set)
    _flow: Flow | None = None
    _moved: tuple[int, int] = (0, 0)

    def begin(self, flow: Flow) -> None:
        """Let both sockets be what ``flow`` moves bytes between."""
        self._flow = flow
        for entry in self.entries:
            entry.flow = flow

    def end(self, at: float) -> bool:
        """Let both go if the flow has ended; ``False`` if it goes on, or that has been done."""
        flow = self._flow
        if flow is None or flow.ending is None:
            return False
        self.ended_at, self.ending, self._moved, self._flow = at, flow.ending, flow.moved, None
        for entry in self.entries:
            entry.flow = None
            entry.forwarded = False
        return True

    def release(self) -> None:
        """Let go of those who wait for its end; all that it brings with it has been done."""
        self.is_settled = True
        self.stopped_by = None  # it would keep the request alive as long as this is remembered
        for pause in tuple(self.waiting):
            pause.ring()

    def await_end(self, pause: Pause, deadline: float) -> None:
        """Wait until it has ended, or ``deadline`` (monotonic seconds) has passed.

        Raises:
            ClientGoneError, ShuttingDownError: From the pause.
        """
        self.waiting.add(pause)
        try:
            while not self.is_settled and time.monotonic() < deadline:
                pause.wait(deadline)
        finally:
            self.waiting.discard(pause)

    @property
    def flow(self) -> Flow | None:
        """What moves the bytes; ``None`` when it has ended."""
        return self._flow

    @property
    def state(self) -> str:
        """``running`` or ``ended``."""
        return RUNNING if self.ending is None else ENDED

    @property
    def moved(self) -> tuple[int, int]:
        """Bytes delivered so far: to the second, to the first."""
        return self._moved if self._flow is None else self._flow.moved

    @property
    def undelivered(self) -> tuple[int, int]:
        """Bytes that were taken and are lost: on the way to the second, to the first."""
        return (0, 0) if self.ending is None else self.ending.undelivered

    @property
    def is_cut_off(self) -> bool:
        """Whether the daemon's end has ended it: neither its sockets have, nor a request."""
        ending = self.ending or Ending()
        is_asked_for = self.stopped_by is not None or any(entry.closed for entry in self.entries)
        return ending.is_stopped and not is_asked_for

    def halves(self) -> tuple[tuple[Entry, Half], tuple[Entry, Half]]:
        """Tell of each socket what it has to do with this."""
        (first, second), (moved, moved_back) = self.entries, self.moved
        lost, lost_back = self.undelivered
        error = None if self.ending is None or self.ending.error is None else self.ending.error.symbol
        return (
            (first, Half(self.id, second.fd, moved_back, lost_back, error)),
            (second, Half(self.id, first.fd, moved, lost, error)),
        )
