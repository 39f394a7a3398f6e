"""A store whose calls run in a thread of their own, so that a slow disk does not stop the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from gevent.threadpool import ThreadPool

from socketd.errors import SocketdError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from socketd.core.saving import Saved, Unreadable
    from socketd.core.seams import SpecificationStore

T = TypeVar("T")


class DiskThread:
    """Runs another store's calls one after the other, in the order in which they came; made after the fork.

    Not gevent's own threads: all of those may be waiting for name servers.
    """

    def __init__(self, store: SpecificationStore) -> None:
        self._store = store
        self._pool: Any = ThreadPool(1)

    def close(self) -> None:
        """End the thread, when it has done what it was given."""
        self._pool.kill()

    def save(self, saved: Saved) -> None:
        """Save; other requests run meanwhile."""
        self._aside(lambda: self._store.save(saved))

    def remove(self, names: Sequence[str]) -> None:
        """Remove, likewise."""
        self._aside(lambda: self._store.remove(names))

    def load(self) -> Sequence[Saved | Unreadable]:
        """Load, likewise."""
        return self._aside(self._store.load)

    def _aside(self, work: Callable[[], T]) -> T:
        def outcome() -> T | SocketdError:
            try:
                return work()
            except SocketdError as error:  # what is raised in there gevent prints, with its traceback
                return error

        found: T | SocketdError = self._pool.apply(outcome)
        if isinstance(found, SocketdError):
            raise found
        return found
