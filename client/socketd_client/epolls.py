"""The stand-in for ``select.epoll`` that takes held sockets beside descriptors."""

from __future__ import annotations

import errno
import math
import os
import select
from typing import TYPE_CHECKING, Any, Final, Self

from socketd_client.constants import FILENO_BASE
from socketd_client.watch import Watch, held_number

if TYPE_CHECKING:
    from types import TracebackType

    from socketd_client.exchange import Exchange

# The originals: what a program finds in the module may be replaced later.
_epoll: Final = select.epoll
_poll: Final = select.poll

# EPOLLIN to EPOLLRDHUP, which have poll's numbers; above them are the ways of triggering.
_EVENTS: Final = 0x3FFF
_POLL_MOST_MS: Final = 2**31 - 1  # poll(2) takes an int


class Epoll:
    """Stands in for ``select.epoll``; without held sockets it is one.

    Held sockets are level-triggered: ``EPOLLET`` and the like are EOPNOTSUPP for them.

    Args:
        exchange: Whose daemon holds them.
        native: Waits for descriptors; closed with the object.
    """

    def __init__(self, exchange: Exchange, native: select.epoll) -> None:
        self._native = native
        self._watch = Watch(exchange)
        self._held: dict[int, int] = {}

    def register(self, fd: Any, eventmask: int = select.EPOLLIN | select.EPOLLPRI | select.EPOLLOUT) -> None:
        """Begin to watch a held socket or a descriptor.

        Raises:
            OSError: EEXIST, it is registered already; EOPNOTSUPP; or the kernel's.
        """
        held = self._number(fd)
        if held is None:
            self._native.register(fd, eventmask)
        elif held in self._held:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        else:
            self._held[held] = _level_triggered(eventmask)

    def modify(self, fd: Any, eventmask: int) -> None:
        """Change what is watched for.

        Raises:
            OSError: ENOENT, it is not registered.
        """
        held = self._number(fd)
        if held is None:
            self._native.modify(fd, eventmask)
        else:
            _known(self._held, held)
            self._held[held] = _level_triggered(eventmask)

    def unregister(self, fd: Any) -> None:
        """Stop watching.

        Raises:
            OSError: ENOENT, it is not registered.
        """
        held = self._number(fd)
        if held is None:
            self._native.unregister(fd)
        else:
            _known(self._held, held)
            del self._held[held]

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """Wait until something is ready; ``timeout`` is in seconds, ``None`` or below 0 for ever."""
        if not self._held or self._native.closed or not (maxevents == -1 or maxevents > 0):
            return self._native.poll(timeout, maxevents)

        def local(extra: int | None, timeout_s: float | None) -> tuple[list[tuple[int, int]] | None, bool]:
            is_readable = extra is not None and _await(self._native.fileno(), extra, timeout_s)
            return self._native.poll(0, maxevents) or None, is_readable

        timeout_s = None if timeout is None or timeout < 0 else timeout
        ready, found = self._watch.wait(self._held, local, timeout_s)
        both = [*((FILENO_BASE + fd, mask) for fd, mask in ready.items()), *(found or ())]
        return both if maxevents == -1 else both[:maxevents]

    def fileno(self) -> int:
        """Return the descriptor that is for those of this process only."""
        return self._native.fileno()

    @property
    def closed(self) -> bool:
        """Tell whether it is closed."""
        return self._native.closed

    def close(self) -> None:
        """Stop watching everything. A second call does nothing."""
        self._watch.close()
        self._held.clear()
        self._native.close()

    def __enter__(self) -> Self:
        """Return the object."""
        self._native.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close it."""
        self.close()

    def _number(self, fd: Any) -> int | None:
        """Return a held socket's number; ``None`` where the original is to answer."""
        return None if self._native.closed else held_number(fd)


def maker_of_epolls(exchange: Exchange) -> type:
    """Make the class that a program calls and that has ``fromfd``."""

    class StandIn(Epoll):
        __doc__ = Epoll.__doc__

        def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
            super().__init__(exchange, _epoll(sizehint, flags))

        @classmethod
        def fromfd(cls, fd: int, /) -> Epoll:
            """Make one of an epoll's descriptor."""
            return Epoll(exchange, _epoll.fromfd(fd))

    StandIn.__name__ = StandIn.__qualname__ = "epoll"
    return StandIn


def _level_triggered(mask: int) -> int:
    if mask & ~_EVENTS:
        raise OSError(errno.EOPNOTSUPP, "held sockets are level-triggered: neither EPOLLET nor EPOLLONESHOT")
    return mask


def _known(held: dict[int, int], number: int) -> None:
    if number not in held:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _await(epoll: int, extra: int, timeout_s: float | None) -> bool:
    """Wait for an epoll's descriptor or another one; tell whether that one can be read."""
    poller = _poll()
    poller.register(epoll, select.POLLIN)
    poller.register(extra, select.POLLIN)
    ready = poller.poll(None if timeout_s is None else min(math.ceil(timeout_s * 1000), _POLL_MOST_MS))
    return any(fd == extra for fd, _ in ready)
