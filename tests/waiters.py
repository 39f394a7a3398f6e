"""The core's seams for waiting, with threads and the kernel's own poll: for tests without a server."""

from __future__ import annotations

import math
import os
import select
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from socketd.errors import ClientGoneError, ShuttingDownError, TooManyWaitsError

if TYPE_CHECKING:
    from collections.abc import Iterator

GONE = select.POLLHUP | select.POLLERR | select.POLLRDHUP
LATCHED = select.EPOLLIN  # an eventfd stays readable until it is read, so a ring before the wait is not lost


class PollPause:
    """One wait of one thread. epoll, not poll, since only it has edges; the event bits are the same."""

    def __init__(self, client_fd: int | None) -> None:
        self._client_fd = client_fd
        self._shut = threading.Event()
        self._armed: dict[int, int] = {}
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self._epoll = select.epoll()
        except BaseException:
            os.close(self._bell)
            raise
        self._epoll.register(self._bell, LATCHED)
        if client_fd is not None:
            self._epoll.register(client_fd, GONE)

    def close(self) -> None:
        """Give both descriptors back."""
        self._epoll.close()
        os.close(self._bell)

    def arm(self, fd: int, events: int) -> None:
        """Wake when one of ``events`` holds for ``fd``; arming it again adds to what it was armed for."""
        if fd in self._armed:
            self._armed[fd] |= events
            self._epoll.modify(fd, self._armed[fd])
        else:
            self._epoll.register(fd, events)
            self._armed[fd] = events

    def disarm(self, fd: int) -> None:
        """Forget ``fd`` at once."""
        if self._armed.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    @property
    def armed(self) -> dict[int, int]:
        """What it waits for now, for a test to look at."""
        return dict(self._armed)

    def wait(self, deadline: float) -> bool:
        """Block this thread until woken; ``False`` when ``deadline`` passed first."""
        self._raise_if_shut()
        left = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
        woken = dict(self._epoll.poll(left))
        self._raise_if_shut()
        if self._client_fd is not None and self._client_fd in woken:
            raise ClientGoneError
        if self._bell in woken:
            os.eventfd_read(self._bell)
        return bool(woken)

    def ring(self) -> None:
        """Wake it, from any thread."""
        os.eventfd_write(self._bell, 1)

    def shut(self) -> None:
        """End it, and every later wait of it, with ``ShuttingDownError``."""
        self._shut.set()
        self.ring()

    def _raise_if_shut(self) -> None:
        if self._shut.is_set():
            raise ShuttingDownError


class PollWaiter:
    """How one request waits; one request a thread.

    Args:
        client_fd: The connection whose end ends the waits, not owned; ``None``: a client that never leaves.
        max_waits: Waits at the same time, before ``TooManyWaitsError``.
    """

    def __init__(self, client_fd: int | None = None, *, max_waits: int = 1_000_000) -> None:
        self._client_fd = client_fd
        self._max_waits = max_waits
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._pauses: set[PollPause] = set()
        self._shut = False
        self.gave_way = 0

    @contextmanager
    def pause(self) -> Iterator[PollPause]:
        """Begin a wait, and forget everything about it at the end."""
        with self._changed:
            if self._shut:
                raise ShuttingDownError
            if len(self._pauses) >= self._max_waits:
                raise TooManyWaitsError(self._max_waits)
            pause = PollPause(self._client_fd)
            self._pauses.add(pause)
            self._changed.notify_all()
        try:
            yield pause
        finally:
            with self._changed:
                self._pauses.discard(pause)
                pause.close()
                self._changed.notify_all()

    def check(self) -> None:
        """Raise ``ClientGoneError`` if the client has hung up."""
        if self._client_fd is None:
            return
        poll = select.poll()
        poll.register(self._client_fd, GONE)
        if poll.poll(0):
            raise ClientGoneError

    def give_way(self) -> None:
        """Count it, and let another thread run."""
        self.gave_way += 1
        time.sleep(0)

    def half_open(self) -> PollWaiter:
        """Return one for a client that may end its sending side and stay; ended with this one."""
        made = PollWaiter(max_waits=self._max_waits)
        made._lock, made._changed, made._pauses = self._lock, self._changed, self._pauses
        return made

    def shut(self) -> None:
        """End every wait, as the daemon does when it is told to stop."""
        with self._changed:
            self._shut = True
            for pause in self._pauses:
                pause.shut()

    def await_waiting(self, count: int = 1, timeout_s: float = 10.0) -> None:
        """Block until ``count`` waits have armed a descriptor, so that a test can act on a waiting thread."""
        deadline = time.monotonic() + timeout_s
        while self._waiting() < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._waiting()} of {count} waits began")
            with self._changed:
                self._changed.wait(0.001)  # arming is not announced: look again soon

    def _waiting(self) -> int:
        with self._lock:
            return sum(1 for pause in self._pauses if pause.armed)
