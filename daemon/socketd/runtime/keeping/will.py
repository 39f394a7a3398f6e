"""What the daemon's heir is to do should the daemon die in the next moment: a piece of shared memory."""

from __future__ import annotations

import fcntl
import mmap
import struct
from dataclasses import dataclass
from os import close
from typing import Final

_HEAD: Final = struct.Struct("=iiiiI")
_START: Final = 8  # the flag stands alone before it
_PACKET: Final = _START + _HEAD.size
_BYTES: Final = 2 * mmap.PAGESIZE
MOST_BYTES: Final = _BYTES - _PACKET
"""Of a packet; one with the longest note is shorter than half of it."""
NOBODY: Final = -1


@dataclass(frozen=True, slots=True)
class Will:
    """A connection was about to be accepted.

    Attributes:
        line_fd: The connection to the keeper.
        listener_fd: A duplicate of the listener.
        candidates: Numbers that were free: accept4(2) takes the lowest, and if another thread was quicker
            in that moment, the one above.
        packet: What the keeper is to be told, with the descriptor.
    """

    line_fd: int
    listener_fd: int
    candidates: tuple[int, ...]
    packet: bytes


class Page:
    """Memory that a process shares with those it forks: one writes, and another reads once that is dead."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _BYTES)

    def write(self, line_fd: int, listener_fd: int, packet: bytes) -> None:
        """Leave a will that stands until it is torn; to be called right before accept4(2).

        There is none where it cannot be: without a free descriptor nothing will be accepted either.
        """
        first, second = _lowest_free(listener_fd)
        if first == NOBODY or len(packet) > MOST_BYTES:
            return
        _HEAD.pack_into(self._memory, _START, line_fd, listener_fd, first, second, len(packet))
        self._memory[_PACKET : _PACKET + len(packet)] = packet
        # Last: the writer may be killed between any two of these, and then accepts nothing.
        self._memory[0] = 1

    def tear(self) -> None:
        """Take it back; harmless where there is none."""
        self._memory[0] = 0

    def read(self) -> Will | None:
        """Return the one that stands."""
        if not self._memory[0]:
            return None
        line_fd, listener_fd, first, second, size = _HEAD.unpack_from(self._memory, _START)
        candidates = tuple(fd for fd in (first, second) if fd != NOBODY)
        return Will(line_fd, listener_fd, candidates, self._memory[_PACKET : _PACKET + size])

    def close(self) -> None:
        """Unmap it."""
        self._memory.close()


def _lowest_free(fd: int) -> tuple[int, int]:
    """Return the two lowest numbers that are free, ``NOBODY`` where none is; ``fd`` is any that is open.

    Two, since resolver and disk have threads that open what they need at any moment.
    """
    first = second = NOBODY
    try:
        first = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0)
        second = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, first + 1)
    except OSError:  # EMFILE
        pass
    finally:
        for number in (second, first):
            if number != NOBODY:
                close(number)
    return first, second
