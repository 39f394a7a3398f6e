"""How the requests of one worker wait: greenlets asleep, one epoll for every descriptor they wait for."""

from __future__ import annotations

import select
from contextlib import suppress
from time import monotonic
from typing import Any, Self

from gevent import getcurrent, monkey
from gevent.hub import get_hub

from socketd.core.seams import EDGE
from socketd.errors import ClientGoneError, KernelRefusedError, ShuttingDownError, TooManyWaitsError

GONE = select.POLLHUP | select.POLLERR | select.POLLRDHUP
ALWAYS = select.POLLHUP | select.POLLERR  # poll(2) tells these unasked
READ = 1  # libev's EV_READ
NOBODY = -1  # where the number of a client's connection stands
LONGEST_S = 1e9  # what a timer can hold; nobody waits thirty years

# Monkey patching takes the first away and makes the second yield; neither blocks as it is used here.
new_epoll = monkey.get_original("select", "epoll")
new_poll = monkey.get_original("select", "poll")


def give_way() -> None:
    """Let the loop turn once: every request that has come is served before this returns.

    ``gevent.sleep(0)`` is not enough: greenlets that sleep so are run up to a thousand times before the loop
    looks for new requests again. Measured with eight busy clients (p99, p99.9): 10 to 20 ms and 0.4 s without
    yielding, 5 ms and up to 0.4 s with ``sleep(0)``, 5 ms and 11 ms with this, at the same requests a second.
    """
    hub = get_hub()
    with hub.loop.timer(0) as timer:
        hub.wait(timer)


class WaitingRoom:
    """Every wait of one worker process; made after the fork, in the thread of the loop.

    One epoll instance holds the armed descriptors of all waits, and the connections of those who wait;
    libev watches that alone. Watchers of its own would know just READ and WRITE, and libev leaves a stopped
    watcher's descriptor in its epoll set: a taken duplicate would keep it there after our close.

    Everything is registered edge-triggered, so that neither pipelined bytes of a client nor a descriptor
    that nobody reads makes the loop spin; each wait asks anew for what it was armed for.

    Attributes:
        max_waits: Waits at the same time, before ``TooManyWaitsError``; may be changed.
    """

    def __init__(self, max_waits: int) -> None:
        self.max_waits = max_waits
        self._watched: dict[int, dict[_Pause, int]] = {}
        self._pauses: set[_Pause] = set()
        self._is_shut = False
        self._hub = get_hub()
        self._epoll = new_epoll()
        self._watcher: Any = self._hub.loop.io(self._epoll.fileno(), READ)
        self._watcher.start(self._collect)

    def close(self) -> None:
        """Give the epoll back; nothing may wait any more."""
        self._watcher.stop()
        self._watcher.close()
        self._epoll.close()

    @property
    def count(self) -> int:
        """How many requests wait."""
        return len(self._pauses)

    def shut(self) -> None:
        """End every wait, and refuse new ones, with ``ShuttingDownError``."""
        self._is_shut = True
        for pause in self._pauses:
            pause.ring()

    def raise_if_shut(self) -> None:
        """Raise ``ShuttingDownError`` once ``shut`` was called."""
        if self._is_shut:
            raise ShuttingDownError

    def waiter(self, client_fd: int) -> RequestWaiter:
        """Return how the request that came by ``client_fd`` waits."""
        return RequestWaiter(self, client_fd)

    def begin(self, pause: _Pause, client_fd: int) -> None:
        """Take up a wait, and watch its client, unless that is ``NOBODY``."""
        self.raise_if_shut()
        if len(self._pauses) >= self.max_waits:
            raise TooManyWaitsError(self.max_waits)
        if client_fd != NOBODY:
            self.watch(client_fd, pause, GONE)
        self._pauses.add(pause)

    def end(self, pause: _Pause, client_fd: int) -> None:
        """Forget a wait."""
        self._pauses.discard(pause)
        self.forget(client_fd, pause)

    def watch(self, fd: int, pause: _Pause, events: int) -> None:
        """Tell ``pause`` of ``events`` on ``fd``; what holds already is told at once."""
        watching = self._watched.setdefault(fd, {})
        is_new = not watching
        watching[pause] = events
        try:
            self._register(fd, watching, is_new=is_new)
        except OSError as error:
            del watching[pause]
            if not watching:
                del self._watched[fd]
            raise KernelRefusedError(error, "epoll_ctl") from error

    def forget(self, fd: int, pause: _Pause) -> None:
        """Tell ``pause`` nothing of ``fd`` any more."""
        watching = self._watched.get(fd)
        if watching is None or watching.pop(pause, None) is None:
            return
        if watching:
            self._register(fd, watching, is_new=False)
            return
        del self._watched[fd]
        with suppress(OSError):  # closed before: the kernel has forgotten it by itself
            self._epoll.unregister(fd)

    def _register(self, fd: int, watching: dict[_Pause, int], *, is_new: bool) -> None:
        events = select.EPOLLET
        for wanted in watching.values():
            events |= wanted
        if is_new:
            self._epoll.register(fd, events)
        else:
            self._epoll.modify(fd, events)

    def _collect(self) -> None:
        """Pass on what the kernel has to tell; runs in the hub, so nothing here may block."""
        for fd, events in self._epoll.poll(0):
            for pause, wanted in self._watched.get(fd, {}).items():
                if events & (wanted | ALWAYS):
                    pause.tell(fd)


class RequestWaiter:
    """How one request waits, and whether its client is still there (``core.seams.Waiter``)."""

    __slots__ = ("_client_fd", "_poll", "_room")

    def __init__(self, room: WaitingRoom, client_fd: int) -> None:
        self._room = room
        self._client_fd = client_fd
        self._poll: Any = None

    def pause(self) -> _Pause:
        """Return a wait, to be entered by ``with``."""
        return _Pause(self._room, self._client_fd)

    def check(self) -> None:
        """Ask the kernel whether the client has hung up; does not yield, costs about a microsecond."""
        if self._poll is None:
            self._poll = new_poll()
            if self._client_fd != NOBODY:
                self._poll.register(self._client_fd, GONE)
        if self._poll.poll(0):
            # At the end of the daemon it may be us: idle connections are shut for reading, and a request
            # that had just come on one of them is still read.
            self._room.raise_if_shut()
            raise ClientGoneError

    def give_way(self) -> None:
        """Let other requests run."""
        give_way()

    def half_open(self) -> RequestWaiter:
        """Return the same for a client that may shut its sending side and stay: nobody watches it."""
        return RequestWaiter(self._room, NOBODY)


class _Pause:
    """One wait of one greenlet (``core.seams.Pause``), and the context manager that ends it."""

    __slots__ = (
        "_armed",
        "_callback",
        "_client_fd",
        "_greenlet",
        "_hub",
        "_is_gone",
        "_is_rung",
        "_room",
        "_stale",
    )

    def __init__(self, room: WaitingRoom, client_fd: int) -> None:
        self._room = room
        self._client_fd = client_fd
        self._hub = get_hub()
        self._armed: dict[int, int] = {}
        self._stale = False
        self._greenlet: Any = None
        self._callback: Any = None
        self._is_gone = False
        self._is_rung = False

    def __enter__(self) -> Self:
        self._room.begin(self, self._client_fd)
        return self

    def __exit__(self, *_: object) -> None:
        for fd in list(self._armed):
            self.disarm(fd)
        self._room.end(self, self._client_fd)

    def arm(self, fd: int, events: int) -> None:
        """Wake when one of ``events`` holds for ``fd``; arming it again adds to what it was armed for."""
        events |= self._armed.get(fd, 0)
        self._room.watch(fd, self, events & ~EDGE)
        self._armed[fd] = events

    def disarm(self, fd: int) -> None:
        """Forget ``fd`` at once."""
        if self._armed.pop(fd, None) is not None:
            self._room.forget(fd, self)

    def ring(self) -> None:
        """Wake it; from the loop's own thread."""
        self._is_rung = True
        # Not switched to at once: what else happened in this round of the loop is told first, so that a
        # client's hang-up is known when both it and data have come.
        if self._greenlet is not None and self._callback is None:
            self._callback = self._hub.loop.run_callback(self._greenlet.switch)

    def tell(self, fd: int) -> None:
        """Hear from the room that something happened on ``fd``."""
        if fd == self._client_fd:
            self._is_gone = True
        self.ring()

    def wait(self, deadline: float) -> bool:
        """Sleep until woken; ``False`` when ``deadline`` passed first."""
        self._rearm()
        if not self._is_rung:
            self._sleep(min(deadline - monotonic(), LONGEST_S))
        self._room.raise_if_shut()
        if self._is_gone:
            raise ClientGoneError
        was_rung, self._is_rung = self._is_rung, False
        return was_rung

    def _rearm(self) -> None:
        """Ask again for what was told before and may still hold; an edge is told once."""
        if self._stale:
            for fd, events in self._armed.items():
                if not events & EDGE:
                    self._room.watch(fd, self, events)
        self._stale = True

    def _sleep(self, seconds: float) -> None:
        timer = self._hub.loop.timer(max(seconds, 0.0))
        self._greenlet = getcurrent()
        try:
            timer.start(self._time_over, update=True)
            self._hub.switch()
        finally:
            timer.stop()
            timer.close()
            self._greenlet = None
            if self._callback is not None:
                self._callback.stop()
                self._callback = None

    def _time_over(self) -> None:
        if self._greenlet is not None and self._callback is None:
            self._callback = self._hub.loop.run_callback(self._greenlet.switch)
