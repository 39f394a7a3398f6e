"""Two sides joined in both directions: when that is over, and what became of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from socketd.core.pumping import Ending
from socketd.errors import KernelRefusedError
from socketd.runtime.pumping.direction import Direction
from socketd.runtime.pumping.side import SideError

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.runtime.pumping.side import Side
    from socketd.runtime.pumping.workshop import Workshop

_READ, _WRITE, _GONE = 0x001 | 0x2000, 0x004, 0x010  # EPOLLIN and EPOLLRDHUP, EPOLLOUT, EPOLLHUP


class Joint:
    """A flow as the pump's thread has it.

    Attributes:
        sides: The first and the second.
        directions: To the second, and to the first.
        on_over: Called in the pump's thread, once, when nothing uses the sides any more.
        ending: Set right before that.
    """

    __slots__ = ("_cut_off", "_error", "directions", "ending", "on_over", "sides")

    def __init__(self, first: Side, second: Side, early: bytes, workshop: Workshop) -> None:
        self.sides = (first, second)
        self.directions = (Direction(first, second, workshop, early), Direction(second, first, workshop))
        self.on_over: Callable[[], None] = lambda: None
        self.ending: Ending | None = None
        self._error: KernelRefusedError | None = None
        self._cut_off: Side | None = None

    @property
    def is_over(self) -> bool:
        """Whether both directions are."""
        return self.directions[0].is_over and self.directions[1].is_over

    def hear(self, fd: int, events: int) -> None:
        """Note what epoll has to tell of one side."""
        side = self.sides[fd == self.sides[1].fd]
        _, inward = self._directions_of(side)
        if events & (_READ | _GONE):
            side.is_readable = True
        if events & (_WRITE | _GONE):
            side.is_writable = True
        # Not what EPOLLERR alone tells: that may be an error that passes (sk_err_soft), or a timestamp.
        if events & _GONE and not inward.is_over:
            error = side.pending_error()
            if error is not None:
                self._error = self._error or KernelRefusedError(error, "recv")
            self._lose(side)

    def turn(self, direction: Direction) -> None:
        """Let one direction move what it can."""
        try:
            direction.turn()
        except SideError as failure:
            self._error = self._error or failure.error
            self._lose(failure.side)

    def fail(self, number: int) -> None:
        """End it with an errno, since it cannot go on."""
        self._error = self._error or KernelRefusedError(OSError(number, os.strerror(number)), "splice")
        self.cut(is_told=True)

    def finish(self) -> None:
        """Take nothing more."""
        for direction in self.directions:
            direction.is_finishing = True

    def cut(self, *, is_told: bool = False) -> None:
        """End it now; ``is_told``: who is connected there sees it, if bytes are lost.

        A guest that has left may have sent something before: that still goes as far as there is room.
        """
        guest = self.sides[0]
        if guest.is_guest and guest.has_left():
            self._lose(guest)
            self.turn(self.directions[0])
        for direction in self.directions:
            if not direction.is_over:
                direction.is_finishing = True
                direction.throw_away()
        if is_told and any(direction.undelivered for direction in self.directions):
            for side in self.sides:
                if not side.is_guest:  # whoever joined it ends it, by a reset
                    side.end()

    def conclude(self) -> Ending:
        """Say how it ended, and tell the side that is left."""
        if self._cut_off is not None:
            left = self.sides[self._cut_off is self.sides[0]]
            if not (self._cut_off.is_guest or left.is_guest):
                left.end()
        to_second, to_first = (direction.undelivered for direction in self.directions)
        is_stopped = any(direction.is_finishing for direction in self.directions)
        is_lossless = not (is_stopped or to_second or to_first)
        is_whole = self._error is None and self._cut_off is None and is_lossless
        return Ending(self._error, is_whole, (to_second, to_first), is_stopped)

    def _directions_of(self, side: Side) -> tuple[Direction, Direction]:
        """Return what goes out of it, and what goes into it."""
        to_second, to_first = self.directions
        return (to_first, to_second) if side is self.sides[1] else (to_second, to_first)

    def _lose(self, side: Side) -> None:
        """Give nothing to a side any more; what can be had of it still goes to the other."""
        outward, inward = self._directions_of(side)
        self._cut_off = self._cut_off or side
        if not inward.is_over:
            inward.throw_away()
        outward.is_last = side.is_readable = True
