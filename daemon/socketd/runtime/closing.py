"""Closing what may make close(2) wait, in threads: the loop of the worker goes on meanwhile."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gevent import monkey

from socketd.kernel import scm

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_THREADS: Final = 64
"""What is to be closed beyond that waits its turn."""


class Closing:
    """Closes descriptors (``core.seams.Closer``); made in the thread of the loop, after the fork.

    Threads of the kernel, not of gevent's pool: a few sockets that linger would fill that, and with it go the
    look-ups of names.
    """

    def __init__(self, most_threads: int = MOST_THREADS) -> None:
        self._idle_threads = most_threads
        self._waiting: deque[int] = deque()
        self._lock = monkey.get_original("_thread", "allocate_lock")()
        self._start: Callable[..., object] = monkey.get_original("_thread", "start_new_thread")

    def __call__(self, fd: int) -> None:
        """Close ``fd``, now or soon."""
        if not scm.closing_may_wait(fd):
            _close(fd)
            return
        with self._lock:
            self._waiting.append(fd)
            if not self._idle_threads:
                return
            self._idle_threads -= 1
        try:
            self._start(self._run, ())
        except RuntimeError:  # no thread is to be had, as when memory is short: then it waits here
            self._run()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._idle_threads += 1
                    return
                fd = self._waiting.popleft()
            _close(fd)


def _close(fd: int) -> None:
    with suppress(OSError):  # it is closed all the same: EIO and ENOSPC tell what became of a file's bytes
        os.close(fd)
