"""Stand-ins for ``select.select`` and ``select.poll`` that take held sockets beside descriptors."""

from __future__ import annotations

import errno
import math
import os
import select
import threading
from typing import TYPE_CHECKING, Any, Final

from socketd_client.constants import FILENO_BASE
from socketd_client.watch import Watch, held_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from socketd_client.exchange import Exchange

    Lists = tuple[list[Any], list[Any], list[Any]]

# The originals: what a program finds in the module may be replaced later.
_select: Final = select.select
_poll: Final = select.poll

# Which of poll's events make the three lists: POLLIN_SET, POLLOUT_SET and POLLEX_SET of fs/select.c.
_ASKED: Final = (select.POLLIN, select.POLLOUT, select.POLLPRI)
_TOLD: Final = (
    select.POLLIN | select.POLLHUP | select.POLLERR,
    select.POLLOUT | select.POLLERR,
    select.POLLPRI,
)


class Poll:
    """Stands in for the object that ``select.poll()`` gives; without held sockets it is one."""

    def __init__(self, exchange: Exchange) -> None:
        self._native = _poll()
        self._watch = Watch(exchange)
        self._held: dict[int, int] = {}
        self._local: dict[int, int] = {}

    def register(self, fd: Any, eventmask: int = select.POLLIN | select.POLLPRI | select.POLLOUT, /) -> None:
        """Begin to watch a held socket or a descriptor; once more, it changes what for."""
        self._native.register(fd, eventmask)  # looks at the arguments, and makes no system call
        held = held_number(fd)
        if held is None:
            self._local[_number(fd)] = eventmask
        else:
            self._native.unregister(fd)
            self._held[held] = eventmask

    def modify(self, fd: Any, eventmask: int, /) -> None:
        """Change what is watched for.

        Raises:
            OSError: ENOENT, it is not registered.
        """
        held = held_number(fd)
        if held is None:
            self._native.modify(fd, eventmask)
        elif held not in self._held:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        self.register(fd, eventmask)

    def unregister(self, fd: Any, /) -> None:
        """Stop watching.

        Raises:
            KeyError: It is not registered.
        """
        held = held_number(fd)
        if held is None:
            self._native.unregister(fd)
            del self._local[_number(fd)]
        else:
            del self._held[held]

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Wait until something is ready; ``timeout`` is in milliseconds, ``None`` or below 0 for ever."""
        if not self._held:
            return self._native.poll(timeout)
        timeout_s = None if timeout is None or timeout < 0 else timeout / 1000
        found: list[tuple[int, int]] | None = None
        if self._local:
            ready, found = self._watch.wait(self._held, self._poll_local, timeout_s)
        else:
            ready = self._watch.ask(self._held, timeout_s)
        return [*(found or ()), *((FILENO_BASE + fd, mask) for fd, mask in ready.items())]

    def _poll_local(
        self, extra: int | None, timeout_s: float | None
    ) -> tuple[list[tuple[int, int]] | None, bool]:
        """Poll the descriptors, until also ``extra`` can be read; see ``Watch.wait``."""
        timeout_ms = None if timeout_s is None else math.ceil(timeout_s * 1000)
        if extra is None:
            return self._native.poll(timeout_ms) or None, False
        self._native.register(extra, select.POLLIN)
        try:
            ready = dict(self._native.poll(timeout_ms))
        finally:
            self._native.unregister(extra)
            # The program may have closed, and not unregistered, what had the number before us.
            if extra in self._local:
                self._native.register(extra, self._local[extra])
        is_readable = ready.pop(extra, 0) != 0
        return list(ready.items()) or None, is_readable


class Selecting:
    """Has ``select`` in the place of ``select.select``; each thread keeps a watch of its own."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._of_thread = threading.local()

    def select(self, rlist: Any, wlist: Any, xlist: Any, timeout: Any = None, /) -> Lists:
        """Wait until something can be read, can be written, or is in an exceptional state."""
        try:
            given = [list(rlist), list(wlist), list(xlist)]
        except TypeError:
            return _select(rlist, wlist, xlist, timeout)  # it says what is wrong
        held = [{fd: one for one in each if (fd := held_number(one)) is not None} for each in given]
        if not any(held):
            return _select(given[0], given[1], given[2], timeout)
        if timeout is not None and timeout < 0:
            raise ValueError("timeout must be non-negative")
        local = [[one for one in each if held_number(one) is None] for each in given]
        found: Lists | None = None
        if any(local):
            ready, found = self._watch().wait(_masks(held), _waiting_for(local), timeout)
        else:
            ready = self._watch().ask(_masks(held), timeout)
        return _joined(found or ([], [], []), held, ready)

    def _watch(self) -> Watch:
        watch: Watch | None = getattr(self._of_thread, "watch", None)
        if watch is None:
            watch = self._of_thread.watch = Watch(self._exchange)
        return watch


def _number(fd: Any) -> int:
    number: int = fd if isinstance(fd, int) else fd.fileno()
    return number


def _masks(held: Sequence[Mapping[int, Any]]) -> dict[int, int]:
    masks: dict[int, int] = {}
    for mask, each in zip(_ASKED, held, strict=True):
        for fd in each:
            masks[fd] = masks.get(fd, 0) | mask
    return masks


def _waiting_for(
    lists: Sequence[list[Any]],
) -> Callable[[int | None, float | None], tuple[Lists | None, bool]]:
    """Make what selects among the descriptors, until also another one can be read; see ``Watch.wait``."""
    readers, writers, exceptional = lists

    def local(extra: int | None, timeout_s: float | None) -> tuple[Lists | None, bool]:
        asked = readers if extra is None else [*readers, extra]
        found = _select(asked, writers, exceptional, timeout_s)
        is_readable = extra is not None and found[0][-1:] == [extra]
        if is_readable:
            found[0].pop()
        return (found if any(found) else None), is_readable

    return local


def _joined(found: Lists, held: Sequence[Mapping[int, Any]], ready: Mapping[int, int]) -> Lists:
    """Add the held sockets that are ready.

    Raises:
        OSError: EBADF, one of them is closed.
    """
    if any(mask & select.POLLNVAL for mask in ready.values()):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    for lists, told, each in zip(found, _TOLD, held, strict=True):
        lists += [one for fd, one in each.items() if ready.get(fd, 0) & told]
    return found
