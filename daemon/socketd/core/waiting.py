"""Try, and wait for one's turn to try again: how every call that can block is made."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, TypeVar

from socketd.core import polling
from socketd.core.seams import EDGE
from socketd.errors import ClosedMeanwhileError, WaitTimeoutError, WouldBlockError

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.core.entry import Entry
    from socketd.core.seams import Pause, Waiter

T = TypeVar("T")
_RETRY_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request is ready to wait, and by what means.

    Attributes:
        waiter: The request's own.
        timeout_s: As asked; 0 does not wait at all.
        deadline: In ``time.monotonic()`` seconds.
    """

    waiter: Waiter
    timeout_s: float
    deadline: float

    @classmethod
    def of(cls, waiter: Waiter, timeout_s: float) -> Patience:
        """Start the clock now."""
        return cls(waiter, timeout_s, time.monotonic() + timeout_s)

    def over(self, syscall: str) -> WouldBlockError | WaitTimeoutError:
        """Say that it ran out, as the caller asked for it."""
        return WaitTimeoutError(syscall, self.timeout_s) if self.timeout_s > 0 else WouldBlockError(syscall)


def until_done(
    entry: Entry, events: int, syscall: str, patience: Patience, attempt: Callable[[], T | None]
) -> T:
    """Make ``attempt`` until it gives something; ``None`` means "not yet, wait for ``events``".

    Callers take turns in the order they came, so that one arrival wakes one of them and not all.
    The client's presence is checked right before each attempt: nothing is taken for one that left.

    Raises:
        BusyError: A tunnel or forward has its bytes.
        WouldBlockError, WaitTimeoutError: The patience ran out.
        ClosedMeanwhileError: The socket was closed.
        ClientGoneError, ShuttingDownError, TooManyWaitsError: From the waiter.
    """
    if entry.closed:  # while a name was looked up, or another message of this call was waiting
        raise ClosedMeanwhileError(entry.reference, syscall)
    entry.raise_if_flowing(syscall)
    if not entry.queue(events) or patience.timeout_s <= 0:
        patience.waiter.check()
        done = attempt()
        if done is not None:
            return done
    if patience.timeout_s <= 0:
        raise patience.over(syscall)
    return _in_turn(entry, events, syscall, patience, attempt)


def _in_turn(
    entry: Entry, events: int, syscall: str, patience: Patience, attempt: Callable[[], T | None]
) -> T:
    with patience.waiter.pause() as pause, _Turn(entry, events, pause) as turn:
        # The time is looked at, too: an event that holds would wake the wait for ever.
        while not entry.closed and time.monotonic() < patience.deadline and pause.wait(patience.deadline):
            if turn.is_first and not entry.closed:
                entry.raise_if_flowing(syscall)  # one that began while this call waited
                patience.waiter.check()
                done = attempt()
                if done is not None:
                    return done
                _pace(entry, events, pause, patience)
    if entry.closed:
        raise ClosedMeanwhileError(entry.reference, syscall)
    raise patience.over(syscall)


def _pace(entry: Entry, events: int, pause: Pause, patience: Patience) -> None:
    """Wait a moment if ``events`` hold although the call would block, lest the wait become a busy loop.

    unix_dgram_poll looks at our own buffer, unless we are connected, and not at the full queue of the
    socket that the message is for; POLLHUP holds on while MSG_ERRQUEUE finds nothing.
    """
    if events & EDGE or not polling.now(entry.fd, events):
        return
    pause.disarm(entry.fd)
    pause.wait(min(patience.deadline, time.monotonic() + _RETRY_S))
    if not entry.closed:
        pause.arm(entry.fd, events)


class _Turn:
    """A place in the queue; the first in it is armed, and the next one when the first leaves.

    Not a generator: a request that waits would keep 0.8 KiB more.
    """

    __slots__ = ("_entry", "_events", "_pause", "_queue")

    def __init__(self, entry: Entry, events: int, pause: Pause) -> None:
        self._entry = entry
        self._events = events
        self._pause = pause
        self._queue = entry.queue(events)

    @property
    def is_first(self) -> bool:
        """Whether nobody came before."""
        return next(iter(self._queue)) is self._pause

    def __enter__(self) -> Self:
        self._queue[self._pause] = None
        if self.is_first and not self._entry.closed:
            try:
                self._pause.arm(self._entry.fd, self._events)
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        was_first = self.is_first
        del self._queue[self._pause]
        if not self._entry.closed:
            self._pause.disarm(self._entry.fd)
            if was_first and self._queue:
                next(iter(self._queue)).arm(self._entry.fd, self._events)
