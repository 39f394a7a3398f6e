"""Bytes moved between two stream sockets inside the daemon: what the core asks of a pump."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from socketd.errors import ShuttingDownError

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.errors import SocketdError


@dataclass(frozen=True, slots=True)
class Ending:
    """How a flow ended.

    Attributes:
        error: What the kernel said, if it ended by that; ``None`` after both ends of file, or ``stop``.
        is_whole: Both directions came to their end of file, and everything was delivered.
        undelivered: Bytes that were taken from one side and could not be given to the other, each way
            (to the second, to the first). They are lost, and are not kept silent about.
        is_stopped: It did not come to its end: ``finish`` or ``stop`` was called.
    """

    error: SocketdError | None = None
    is_whole: bool = False
    undelivered: tuple[int, int] = (0, 0)
    is_stopped: bool = False

    @property
    def is_lossless(self) -> bool:
        """Whether nobody misses anything: it is whole, or a side hung up when it had all and had said all."""
        return self.error is None and not self.is_stopped and not any(self.undelivered)


class Flow(Protocol):
    """Two sockets joined: the end of file of one shuts the sending side of the other; after both it ends."""

    @property
    def moved(self) -> tuple[int, int]:
        """Bytes delivered so far: to the second, to the first."""

    @property
    def ending(self) -> Ending | None:
        """How it ended; ``None`` while it goes on."""

    def finish(self) -> None:
        """Take nothing more, and end when what was taken is delivered. Returns at once."""

    def stop(self) -> None:
        """End it now; on return neither descriptor is used any more.

        Harmless when it has ended. ``on_end`` has been called on return.
        """


class Pump(Protocol):
    """Moves bytes without keeping the loop."""

    def join(
        self,
        first: int,
        second: int,
        on_end: Callable[[], None],
        early: bytes = b"",
        *,
        is_guest: bool = False,
    ) -> Flow:
        """Join two connected stream sockets; works on duplicates of its own, which it closes.

        Args:
            first: One descriptor, not owned.
            second: The other.
            on_end: Called once, in the loop's thread, when the flow has ended.
            early: Bytes that have been taken from ``first`` already; they go to ``second`` before all others.
            is_guest: ``first`` may leave altogether (``POLLHUP``) and ``second`` be left as it is, without
                being told an end of file.

        Raises:
            KernelRefusedError: EMFILE, or one of them is no stream socket.
            ShuttingDownError: The daemon is going away.
        """


class _NoPump:
    """Moves nothing."""

    def join(
        self,
        first: int,
        second: int,
        on_end: Callable[[], None],
        early: bytes = b"",
        *,
        is_guest: bool = False,
    ) -> Flow:
        """Refuse.

        Raises:
            ShuttingDownError: Always.
        """
        del first, second, on_end, early, is_guest
        raise ShuttingDownError


NO_PUMP = _NoPump()
