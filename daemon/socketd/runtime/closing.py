"""Closing what may make close(2) wait, in threads: the loop of the worker goes on meanwhile."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gevent import monkey

from socketd.kernel import scm

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable

MOST_THREADS: Final = 64
"""What is to be closed beyond that waits its turn."""
_MOMENT_S: Final = 0.005
"""What most closings are over in, so that who was told of it finds the address free."""


class Closing:
    """Closes descriptors (``core.seams.Closer``); made in the thread of the loop, after the fork.

    Threads of the kernel, not of gevent's pool: a few sockets that linger would fill that, and with it go the
    look-ups of names.
    """

    def __init__(self, most_threads: int = MOST_THREADS) -> None:
        self._most = self._idle = most_threads
        self._waiting: deque[int] = deque()
        self._new_lock: Callable[[], LockType] = monkey.get_original("_thread", "allocate_lock")
        self._lock = self._new_lock()
        self._start: Callable[..., object] = monkey.get_original("_thread", "start_new_thread")

    def __call__(self, fd: int) -> None:
        """Close ``fd``, now or soon."""
        if not scm.closing_may_wait(fd):
            _close(fd)
            return
        with self._lock:
            self._waiting.append(fd)
            if not self._idle:
                return
            is_first = self._idle == self._most
            self._idle -= 1
        is_closed = self._new_lock()
        is_closed.acquire()
        try:
            self._start(self._run, (is_closed,))
        except RuntimeError:  # no thread is to be had, as when memory is short: then it waits here
            self._run(is_closed)
        if is_first:  # else a crowd of them would make a long wait of short ones
            is_closed.acquire(timeout=_MOMENT_S)

    def _run(self, is_closed: LockType) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._idle += 1
                    return
                fd = self._waiting.popleft()
            _close(fd)
            if is_closed.locked():
                is_closed.release()


def _close(fd: int) -> None:
    with suppress(OSError):  # it is closed all the same: EIO and ENOSPC tell what became of a file's bytes
        os.close(fd)
