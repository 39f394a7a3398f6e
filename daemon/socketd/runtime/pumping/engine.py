"""The thread that moves the bytes of all flows: one epoll, and turns of bounded length."""

from __future__ import annotations

import errno
import os
import select
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from gevent import monkey

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.runtime.pumping.direction import Direction
    from socketd.runtime.pumping.joint import Joint

STUCK_S: Final = 1.0
"""What no turn lasts: it is a thousand times as long."""
_NOTHING_YET: Final = select.EPOLLET
_EVENTS: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET

# Monkey patching takes the first away, and makes greenlets' things of the others.
new_epoll = monkey.get_original("select", "epoll")
new_lock = monkey.get_original("_thread", "allocate_lock")
start_thread = monkey.get_original("_thread", "start_new_thread")


class Engine:
    """One thread of the kernel. What it is told it does between two turns, in that order."""

    def __init__(self) -> None:
        """Begin.

        Raises:
            OSError, RuntimeError: No descriptor, or no thread, is to be had.
        """
        self._told: deque[Callable[[], None]] = deque()
        self._joints: dict[int, Joint] = {}
        self._queue: deque[tuple[Joint, Direction]] = deque()
        self._current: tuple[Joint, float] | None = None  # whose turn it is, and since when
        self._is_closing = False
        self._is_over = new_lock()
        self._is_over.acquire()
        self._epoll: Any = new_epoll()
        try:
            self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except BaseException:
            self._epoll.close()
            raise
        try:
            self._epoll.register(self._bell, select.EPOLLIN)
            start_thread(self._run, ())
        except BaseException:
            self._release()
            raise

    # --- any thread ----------------------------------------------------------------------------------------

    def add(self, joint: Joint) -> None:
        """Begin to move its bytes.

        Raises:
            OSError: ENOSPC, ENOMEM of epoll_ctl(2); nothing has begun.
        """
        first, second = joint.sides
        self._epoll.register(first.fd, _NOTHING_YET)
        try:
            self._epoll.register(second.fd, _NOTHING_YET)
        except OSError:
            self._epoll.unregister(first.fd)
            raise
        self.tell(lambda: self._begin(joint))

    def tell(self, what: Callable[[], None]) -> None:
        """Have the thread do something soon."""
        self._told.append(what)
        os.eventfd_write(self._bell, 1)

    def ask(self, what: Callable[[], None]) -> None:
        """Have the thread do something, and wait for it: a few milliseconds, unless a turn is stuck."""
        is_done = new_lock()
        is_done.acquire()

        def do() -> None:
            try:
                what()
            finally:
                is_done.release()

        self.tell(do)
        while not is_done.acquire(timeout=STUCK_S):
            self.free()

    def free(self) -> None:
        """Shut down the sockets of a flow whose turn does not end, which ends it; to be called now and then.

        Whoever has a duplicate can clear O_NONBLOCK between our look at it and splice(2), which then waits
        for that socket, and so do all flows. Only theirs is lost by this.
        """
        current = self._current
        if current is not None and monotonic() - current[1] > STUCK_S:
            for side in current[0].sides:
                side.end()

    def end(self, joint: Joint, *, is_told: bool = False) -> None:
        """End a flow; on return nothing uses its sides. Harmless if it is over."""

        def cut() -> None:
            if joint.ending is None:
                joint.cut(is_told=is_told)
                self._look_whether_over(joint)

        self.ask(cut)

    def finish(self, joint: Joint) -> None:
        """Take nothing more for a flow."""

        def finish() -> None:
            joint.finish()
            self._queue_up(joint)

        self.tell(finish)

    def close(self) -> None:
        """End the thread, and wait for its end; no flow is left."""

        def close() -> None:
            self._is_closing = True

        self.tell(close)
        while not self._is_over.acquire(timeout=STUCK_S):
            self.free()
        self._release()

    # --- its own -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._is_closing:
            for fd, events in self._epoll.poll(0 if self._queue else -1):
                if fd == self._bell:
                    os.eventfd_read(fd)
                else:
                    self._hear(fd, events)
            self._do_as_told()
            for _ in range(len(self._queue)):
                self._turn(*self._queue.popleft())
                self._do_as_told()  # the loop may wait for it
        self._is_over.release()

    def _do_as_told(self) -> None:
        while self._told:
            self._told.popleft()()

    def _release(self) -> None:
        self._epoll.close()
        os.close(self._bell)

    def _begin(self, joint: Joint) -> None:
        for side in joint.sides:
            self._joints[side.fd] = joint
            self._epoll.modify(side.fd, _EVENTS)  # tells again what holds already
        self._queue_up(joint)  # bytes may be in hand

    def _hear(self, fd: int, events: int) -> None:
        joint = self._joints.get(fd)
        if joint is not None:
            self._have(joint, lambda: joint.hear(fd, events))

    def _turn(self, joint: Joint, direction: Direction) -> None:
        direction.is_queued = False
        if joint.ending is not None:
            return
        self._current = (joint, monotonic())
        self._have(joint, lambda: joint.turn(direction))
        self._current = None

    def _have(self, joint: Joint, do: Callable[[], None]) -> None:
        """Have something done for one flow, which alone ends if that fails: the thread is everybody's."""
        try:
            do()
        except Exception:  # noqa: BLE001 - MemoryError, say
            joint.fail(errno.EIO)
        self._queue_up(joint)

    def _queue_up(self, joint: Joint) -> None:
        """Give a turn to each direction that has something to do, or end a flow that has none."""
        for direction in joint.directions:
            if direction.can_move and not direction.is_queued:
                direction.is_queued = True
                self._queue.append((joint, direction))
        self._look_whether_over(joint)

    def _look_whether_over(self, joint: Joint) -> None:
        if joint.is_over and joint.ending is None:
            self._forget(joint)
            joint.ending = joint.conclude()
            joint.on_over()

    def _forget(self, joint: Joint) -> None:
        for side in joint.sides:
            del self._joints[side.fd]
            self._epoll.unregister(side.fd)
