"""Which descriptor number a held socket gets: rising, and rested before it is given again."""

from __future__ import annotations

import errno
import fcntl
import os
from collections import deque
from typing import TYPE_CHECKING

from socketd.errors import KernelRefusedError, OutOfDescriptorsError

if TYPE_CHECKING:
    from socketd.core.seams import Clock


class Numbers:
    """Gives descriptor numbers in rising order, so that a stale one is nobody's for a while.

    The kernel reuses the lowest free number at once, and a caller who kept a number would then send
    to a stranger. Here a freed number rests for ``rest_s`` seconds, or until half of the range has
    been freed after it, whichever comes first: the second bound keeps a small RLIMIT_NOFILE usable
    under churn. (``If-Match`` covers what is left: the cookie is never reused.)
    """

    def __init__(self, first: int, limit: int, rest_s: float, clock: Clock) -> None:
        """Give numbers from ``first`` to below ``limit`` (RLIMIT_NOFILE)."""
        self._first = first
        self._limit = limit
        self._rest_s = rest_s
        self._most_resting = max(1, (limit - first) // 2)
        self._clock = clock
        self._next = first
        self._reserved: set[int] = set()
        self._resting: dict[int, float] = {}
        self._order: deque[int] = deque()

    def duplicate(self, fd: int) -> int:
        """Make a close-on-exec duplicate of ``fd`` at the next number; the caller owns both.

        Raises:
            OutOfDescriptorsError: Everything below the limit is in use or resting.
            KernelRefusedError: ``fcntl`` failed in another way (ENFILE is not one of them).

        Source: fcntl(2) F_DUPFD_CLOEXEC, which takes the lowest free number not below the one given.
        """
        self._wake_rested()
        for start in (self._next, self._first):
            number = self._duplicate_above(fd, start)
            if number is not None:
                self._next = number + 1
                return number
        raise OutOfDescriptorsError(self._limit)

    def start_after(self, last: int) -> None:
        """Go on above ``last``, the highest number given in an earlier life; does not go back."""
        self._next = max(self._next, last + 1)

    def reserve(self, number: int) -> None:
        """Never give ``number``: it belongs to a socket that is not in the table."""
        self._reserved.add(number)

    def give_back(self, number: int) -> None:
        """Close a duplicate that nobody was told of; its number need not rest."""
        os.close(number)
        if self._next == number + 1:
            self._next = number

    def free(self, number: int) -> None:
        """Note that ``number`` was closed; it rests from now."""
        self._resting[number] = self._clock.monotonic() + self._rest_s
        self._order.append(number)

    def _duplicate_above(self, fd: int, start: int) -> int | None:
        while start < self._limit:
            try:
                number = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, start)
            except OSError as error:
                # EINVAL: start is past RLIMIT_NOFILE, which may have been lowered under us.
                if error.errno in (errno.EMFILE, errno.EINVAL):
                    return None
                raise KernelRefusedError(error, "fcntl") from error
            free = self._not_below(number)
            if number < self._limit and number == free:
                return number
            os.close(number)
            start = free
        return None

    def _not_below(self, number: int) -> int:
        """Skip a run of resting and reserved numbers without a system call each."""
        while number in self._resting or number in self._reserved:
            number += 1
        return number

    def _wake_rested(self) -> None:
        if not self._order:
            return
        now = self._clock.monotonic()
        while self._order and (len(self._order) > self._most_resting or self._resting[self._order[0]] <= now):
            del self._resting[self._order.popleft()]
