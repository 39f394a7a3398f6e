"""A selector of the ``selectors`` kind, for held sockets and files of this process together."""

from __future__ import annotations

import math
import select
import selectors
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from socketd_client.constants import FILENO_BASE
from socketd_client.watch import Watch, held_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _typeshed import FileDescriptorLike

    from socketd_client.client import Client

_READ: Final = selectors.EVENT_READ
_WRITE: Final = selectors.EVENT_WRITE
_MASKS: Final = {_READ: select.POLLIN, _WRITE: select.POLLOUT, _READ | _WRITE: select.POLLIN | select.POLLOUT}
_POLL_MOST_MS: Final = 2**31 - 1  # poll(2) takes an int

# The originals: what a program finds in these modules may be replaced later.
_Default: Final = selectors.DefaultSelector
_Registry: Final = selectors.SelectSelector  # its register makes no system call, so any number will do
_poll: Final = select.poll


class Selector(selectors.BaseSelector):
    """Waits for held sockets and files of this process together.

    Held ones, all of one client, are registered by their handle or by the number that its ``fileno()``
    gives. Everything else goes to a selector of the standard library, and without a held one that is all
    there is to it. For one thread at a time. Example::

        with Selector(client) as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(sys.stdin, selectors.EVENT_READ)
            for key, events in selector.select(timeout=30):
                ...

    Args:
        client: Whose sockets they are.
        local: Waits for the files; closed with this one. By default the platform's best.
    """

    def __init__(self, client: Client, local: selectors.BaseSelector | None = None) -> None:
        self._watch = Watch(client.exchange)
        self._held = _Registry()
        self._local = _Default() if local is None else local

    def register(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        """Begin to watch a held socket or a file."""
        home = self._local if held_number(fileobj) is None else self._held
        return home.register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        """Stop watching; also what was closed meanwhile."""
        return self._home(fileobj).unregister(fileobj)

    def modify(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        """Change what is watched for, or the data."""
        return self._home(fileobj).modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait until something is ready; ``timeout`` is in seconds, ``None`` for ever, 0 or less not at all.

        A held socket that is closed meanwhile is ready: using it tells why.

        Raises:
            SocketdError: The daemon refuses, or is away for longer than the client's timeout.
        """
        keys = {key.fd - FILENO_BASE: key for key in self._held.get_map().values()}
        if not keys:
            return self._local.select(timeout)
        held = {fd: _MASKS[key.events] for fd, key in keys.items()}
        timeout_s = None if timeout is None else max(timeout, 0)
        if self._local.get_map():
            ready, found = self._watch.wait(held, self._select_local, timeout_s)
        else:
            ready, found = self._watch.ask(held, timeout_s), None
        return [*(found or ()), *((keys[fd], _events(mask) & keys[fd].events) for fd, mask in ready.items())]

    def close(self) -> None:
        """Stop watching everything."""
        self._watch.close()
        self._held.close()
        self._local.close()

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        """Return what is registered, by what it was registered with."""
        return _Both(self._held.get_map(), self._local.get_map())

    def _home(self, fileobj: FileDescriptorLike) -> selectors.BaseSelector:
        try:
            return self._held if fileobj in self._held.get_map() else self._local
        except ValueError:  # it is closed, and was not registered there
            return self._local

    def _select_local(
        self, extra: int | None, timeout_s: float | None
    ) -> tuple[list[tuple[selectors.SelectorKey, int]] | None, bool]:
        """Select among the files, until also ``extra`` can be read; see ``Watch.wait``."""
        is_readable = False
        if extra is not None:
            poller = _poll()
            for fd, mask in self._descriptors():
                poller.register(fd, mask)
            poller.register(extra, select.POLLIN)
            ready = poller.poll(
                None if timeout_s is None else min(math.ceil(timeout_s * 1000), _POLL_MOST_MS)
            )
            is_readable = any(fd == extra for fd, _ in ready)
            timeout_s = 0
        return self._local.select(timeout_s) or None, is_readable

    def _descriptors(self) -> Iterable[tuple[int, int]]:
        """Say what to poll for the files: the selector's own descriptor if it has one, as epoll's has."""
        fileno = getattr(self._local, "fileno", None)
        if fileno is not None:
            return [(fileno(), select.POLLIN)]
        return [(key.fd, _MASKS[key.events]) for key in self._local.get_map().values()]


class _Both(Mapping["FileDescriptorLike", selectors.SelectorKey]):
    """The maps of two selectors as one."""

    def __init__(self, *maps: Mapping[FileDescriptorLike, selectors.SelectorKey]) -> None:
        self._maps = maps

    def __getitem__(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        held, local = self._maps
        try:
            return held[fileobj]
        except (KeyError, ValueError):
            return local[fileobj]

    def __iter__(self) -> Iterator[FileDescriptorLike]:
        return chain.from_iterable(self._maps)

    def __len__(self) -> int:
        return sum(map(len, self._maps))


def _events(mask: int) -> int:
    """Map a ``poll`` mask as ``selectors`` does: an error or a hang-up is for both to see."""
    return (_READ if mask & ~select.POLLOUT else 0) | (_WRITE if mask & ~select.POLLIN else 0)
