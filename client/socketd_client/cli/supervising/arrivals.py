"""Signals as something to poll for."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
PASSED_ON: Final = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
HANDLED: Final = (*STOPPING, *PASSED_ON, signal.SIGHUP, signal.SIGCHLD)
_AT_ONCE: Final = 512


class Arrivals:
    """The signals that have come: their numbers are bytes in a pipe, written by Python's own handler."""

    def __init__(self, read_fd: int) -> None:
        self._read_fd = read_fd

    def fileno(self) -> int:
        """Return the descriptor, for poll."""
        return self._read_fd

    def take(self) -> list[signal.Signals]:
        """Return those that came since the last time, in their order."""
        try:
            return [signal.Signals(number) for number in os.read(self._read_fd, _AT_ONCE)]
        except BlockingIOError:
            return []


@contextmanager
def arrivals() -> Iterator[Arrivals]:
    """Catch the signals while the body runs; before that and after, they do what they did."""
    read_fd, write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        former = {number: signal.signal(number, _nothing) for number in HANDLED}
        try:
            yield Arrivals(read_fd)
        finally:
            for number, handler in former.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
            signal.set_wakeup_fd(before)
    finally:
        os.close(read_fd)
        os.close(write_fd)


def forget_in_child() -> None:
    """Give a forked child, whose signals are still blocked, the defaults back, and let them come."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)


def _nothing(number: int, frame: object) -> None:
    """Be there, so that the number is written to the pipe."""
