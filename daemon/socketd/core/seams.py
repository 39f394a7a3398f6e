"""What the core asks of the world it runs in, as Protocols: waiting, paths, resolving, making, keeping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from socketd.core.entry import Entry, Note, UnixFile
    from socketd.core.saving import Saved, Unreadable

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

    def half_open(self) -> Waiter:
        """Return the same for a client that may end its sending side and stay: its connection is not watched.

        Whoever uses it reads and writes the connection, and so sees the client go. A hang-up (POLLHUP) alone
        does not tell: when both sides have ended their direction, it looks like that, and bytes may be under
        way.
        """


class Way(Protocol):
    """How the calls of one request come to a path in the file system: through what folders, over no links."""

    def bind(self, sock: _socket.socket, path: str) -> UnixFile | None:
        """Bind to a path; returns the socket file, ``None`` if somebody was quick to remove it.

        Raises:
            NotPermittedError: The path leads elsewhere, or somebody else could make it.
            KernelRefusedError: As ``calls.bind``; no file is left.
        """

    def reach(self, path: str) -> AbstractContextManager[str]:
        """Find a socket file, and give a path for ``connect(2)`` that is this very file while the block runs.

        Raises:
            NotPermittedError: The path leads elsewhere.
            KernelRefusedError: ENOENT, EACCES, …
        """


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


class Closer(Protocol):
    """``close(2)`` for a descriptor of somebody else's making, which can wait: for SO_LINGER, say."""

    def __call__(self, fd: int, /) -> None:
        """Close ``fd``, now or soon, without blocking the loop it runs in; does not raise."""


class Clock(Protocol):
    """Time, so that a test can move it."""

    def monotonic(self) -> float:
        """Seconds since some start; never goes back."""

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC."""


class Arrival(Protocol):
    """A connection that is about to be accepted; one of the two is called, once, and neither raises."""

    def store(self, fd: int) -> None:
        """Send a copy of what has come; if the keeper is up it is sent on return."""

    def drop(self) -> None:
        """Take back all: nothing has come."""


class Keeper(Protocol):
    """Who holds a second copy of every held socket, so that the daemon may die.

    Nothing but ``confirm`` waits, and nothing raises: without the keeper the daemon goes on serving.
    """

    def store(self, entry: Entry, group: int = 0) -> None:
        """Put a copy on its way, which goes at the latest with the next ``confirm``.

        An entry that is closed until then is left out.
        """

    def expect(self, number: int, note: Note) -> Arrival:
        """Prepare for a connection that is to be held as ``number``, where its listener's duplicate is open.

        Called right before it is accepted; until the arrival's end nothing else is said.
        """

    def update(self, entry: Entry) -> None:
        """Tell that its note has changed: with the next ``confirm``, or soon."""

    def forget(self, number: int) -> None:
        """Let go of the copy: with the next ``confirm``, or soon. Unknown numbers are harmless."""

    def group(self) -> int:
        """Begin a group: what is stored with it is held by the keeper once it is confirmed, all at once."""

    def confirm(self, group: int = 0) -> None:
        """Wait a bounded time until the keeper has done all that was said so far; commits the group."""

    def state(self) -> str:
        """``none`` if there is no keeper, ``up``, or ``away``."""


class SpecificationStore(Protocol):
    """Where specifications outlive the host's running. Each call may take as long as a disk does."""

    def save(self, saved: Saved) -> None:
        """Write it in place of what is there of that name; on return it is on the disk.

        Raises:
            NotSavedError: It is not; nothing is left of it where nothing was.
            InvalidRequestError: It is too long.
        """

    def remove(self, names: Sequence[str]) -> None:
        """Take back what was saved of these names; harmless where nothing was.

        Raises:
            NotSavedError: Some of it is there still.
        """

    def load(self) -> Sequence[Saved | Unreadable]:
        """Read everything; what cannot be understood is told and left alone.

        Raises:
            NotSavedError: The place itself cannot be read, or another daemon uses it.
        """
