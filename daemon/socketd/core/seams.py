"""What the core asks of the world it runs in, as Protocols: waiting, resolving, making sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import _socket
    from contextlib import AbstractContextManager

EDGE = 1 << 31
"""Added to poll(2) events: wake at every arrival, not as long as something is there (EPOLLET)."""


class Pause(Protocol):
    """One wait of one request, woken by descriptors, by the client's hang-up, by time or by a ring."""

    def arm(self, fd: int, events: int) -> None:
        """Wake when one of the poll(2) ``events`` (or ``POLLERR``, ``POLLHUP``) holds for ``fd``."""

    def disarm(self, fd: int) -> None:
        """Forget ``fd``, at once: its owner may close it right after. Harmless if it was not armed."""

    def wait(self, deadline: float) -> bool:
        """Block until woken; ``False`` when ``deadline`` (``time.monotonic()`` seconds) passed first.

        A wake-up is a hint: the caller asks the kernel again.

        Raises:
            ClientGoneError: Whoever asked has hung up.
            ShuttingDownError: The daemon is going away.
        """

    def ring(self) -> None:
        """Wake it from outside (the socket was closed, or it is its turn)."""


class Waiter(Protocol):
    """How one request waits; knows the connection the request came by."""

    def pause(self) -> AbstractContextManager[Pause]:
        """Begin a wait.

        Raises:
            TooManyWaitsError: As many requests wait already as the daemon is configured to hold.
            ShuttingDownError: The daemon is going away.
        """

    def check(self) -> None:
        """Return if the client is still there; called right before anything is taken from the kernel.

        Raises:
            ClientGoneError: It has hung up.
        """

    def give_way(self) -> None:
        """Let other requests run; called inside bulk work."""


class SocketFactory(Protocol):
    """``socket(2)``: a new close-on-exec socket, or ``OSError``."""

    def __call__(self, family: int, kind: int, protocol: int, /) -> _socket.socket:
        """Make one."""


class Resolver(Protocol):
    """``getaddrinfo(3)`` as the ``socket`` module has it; must not block the loop it runs in."""

    def __call__(
        self, host: str | None, port: str | int | None, family: int, kind: int, proto: int, flags: int, /
    ) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
        """Look it up; raises ``socket.gaierror``."""


class Clock(Protocol):
    """Time, so that a test can move it."""

    def monotonic(self) -> float:
        """Seconds since some start; never goes back."""

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC."""
