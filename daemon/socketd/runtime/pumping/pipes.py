"""Pipes that bytes pass through on their way from one socket to another, lent to whoever has some in hand."""

from __future__ import annotations

import fcntl
import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

SIZES: Final = (1 << 19, 1 << 17)
"""Asked for in this order: fs.pipe-max-size caps one, fs.pipe-user-pages-soft all that a user has.

As fast as 1 MiB, with half as much in hand if the daemon is killed; 128 KiB takes half as much time again
of the processor.
"""
MOST: Final = 32
"""A quarter of what fs.pipe-user-pages-soft gives a user by default (64 MiB); two descriptors each."""
_USUAL_BYTES: Final = 1 << 16  # pipe(7), where no other size is to be had; it may be less


@dataclass(frozen=True, slots=True)
class Pipe:
    """One of them.

    Attributes:
        size: Bytes that it is asked to hold at a time; it may take fewer.
    """

    reader: int
    writer: int
    size: int

    def read(self, count: int) -> bytes:
        """Take ``count`` bytes out, which are there."""
        parts = []
        while count:
            part = os.read(self.reader, count)
            count -= len(part)
            parts.append(part)
        return b"".join(parts)


class Pipes:
    """A bounded number of pipes, all empty. Opened and closed by the thread of the loop, lent in another.

    The thread of the loop opens them, since the daemon's heir looks for a connection at the numbers that were
    free right before accept4(2).
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._free: deque[Pipe] = deque()
        self._all: list[Pipe] = []

    def grow(self, count: int) -> None:
        """Have room for ``count`` more users, as far as bounds and descriptors allow."""
        for _ in range(min(count, self._most - len(self._all))):
            try:
                reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError:  # EMFILE, ENFILE: bytes are copied then
                return
            pipe = Pipe(reader, writer, _widen(writer))
            self._all.append(pipe)
            self._free.append(pipe)

    def borrow(self) -> Pipe | None:
        """Return an empty one, the last one used first; ``None`` if all are in use."""
        with suppress(IndexError):
            return self._free.pop()
        return None

    def give_back(self, pipe: Pipe) -> None:
        """Take back one, empty."""
        self._free.append(pipe)

    def close(self) -> None:
        """Close all of them; nobody uses one any more."""
        self._free.clear()
        while self._all:
            pipe = self._all.pop()
            os.close(pipe.reader)
            os.close(pipe.writer)


def _widen(writer: int) -> int:
    for size in SIZES:
        with suppress(OSError):  # EPERM
            return fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, size)
    return _USUAL_BYTES
