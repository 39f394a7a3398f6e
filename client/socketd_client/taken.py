"""A held socket in this process: what the daemon alone may is its affair, bytes move at kernel speed."""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
from typing import TYPE_CHECKING, Any, Final, Self

from socketd_client.nonblocking import Nonblocking

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from socketd_client.handle import Socket

IS_POSSIBLE: Final = issubclass(Nonblocking, _socket.socket)
"""Whether ``socket.socket`` was Python's own at the import: gevent's waits in its own way, by other means."""


class Taken(Nonblocking):
    """A duplicate of a held socket's descriptor, and the handle it belongs to.

    ``bind``, ``listen``, ``connect`` and ``accept`` are the daemon's: with its rights, and what is accepted
    is held, too. ``close`` closes both. Everything else is a system call of this process. It is a real
    ``socket.socket``, so ``select``, ``ssl`` and ``os.sendfile`` take it.

    Args:
        held: The handle; it ends with the object.
        fileno: A descriptor of the same socket, owned by the object from here; ``None`` takes one.

    Attributes:
        held: The handle.

    Raises:
        OSError: EOPNOTSUPP over TCP and under gevent; EMFILE, this process has no descriptor left.
    """

    def __init__(self, held: Socket, fileno: int | None = None) -> None:
        if not IS_POSSIBLE:
            text = "gevent has replaced socket.socket: a held socket's descriptor cannot stand for one"
            raise OSError(errno.EOPNOTSUPP, text)
        timeout_s = held.gettimeout()
        self.held = held
        local = held.take().detach() if fileno is None else fileno
        try:
            super().__init__(held.family, held.type, held.proto, local)
        except BaseException:
            os.close(local)
            raise
        self.settimeout(timeout_s)

    def settimeout(self, value: float | None, /) -> None:
        """Set how long calls wait, those of the daemon as well: ``None`` for ever, 0 not at all."""
        super().settimeout(value)
        self.held.settimeout(value)

    def bind(self, address: Any, /) -> None:
        """Have the daemon give the socket a local address."""
        self.held.bind(address)

    def listen(self, backlog: int = 128, /) -> None:
        """Have the daemon let connections come."""
        self.held.listen(backlog)

    def connect(self, address: Any, /) -> None:
        """Have the daemon connect to a peer."""
        self.held.connect(address)

    def connect_ex(self, address: Any, /) -> int:
        """Connect as ``connect`` does, but return the errno, 0 for success."""
        return self.held.connect_ex(address)

    def accept(self) -> tuple[Self, Any]:
        """Have the daemon accept a connection; it is held, and its descriptor is taken.

        Raises:
            OSError: EMFILE, among others: it is accepted before it is taken, and closed if that fails.
        """
        held, address = self.held.accept()
        return self._of(held), address

    def dup(self) -> Self:
        """Return a second object of the same socket; what is held is closed when both are."""
        local = os.dup(self.fileno())
        try:
            held = self.held.dup()
        except BaseException:
            os.close(local)
            raise
        return self._of(held, local)

    def detach(self) -> int:
        """Return the descriptor, from here the caller's alone: the daemon forgets the socket.

        So it is when ``ssl`` wraps it: closing the wrapped one ends the connection, as it should. As from a
        local socket it blocks unless there is a timeout: ``multiprocessing`` reads it by number.
        """
        number = super().detach()
        if number >= 0:
            self._forget()
            os.set_blocking(number, self.gettimeout() is None)
        return number

    def __del__(self) -> None:
        """Leave an owned socket to be closed; the warning is the local one's."""
        held = self.__dict__.get("held")
        if held is not None and held._is_owned:  # noqa: SLF001 - one of us
            held.leave()
        if IS_POSSIBLE:
            super().__del__()  # type: ignore[misc]  # the finalizer of _socket.socket, not in typeshed

    def _forget(self) -> None:
        """Have the daemon forget the socket: later, if it cannot be told now, for detach must not fail."""
        try:
            self.held.release().close()
        except OSError:
            self.held.leave()

    def _of(self, held: Socket, fileno: int | None = None) -> Self:
        try:
            return type(self)(held, fileno)
        except BaseException:
            held.close()
            raise

    def _real_close(self, *args: Any) -> None:
        # The kernel's close comes last, so that it does what SO_LINGER says in this process.
        try:
            with _forgotten_is_fine():
                self.held.close()
        finally:
            super()._real_close(*args)  # type: ignore[misc]  # what close and makefile end in; not in typeshed


def preferred(held: Socket) -> socket.socket | Socket:
    """Take a new socket's descriptor if it can travel here; over TCP, or under gevent, it stays a handle.

    Raises:
        OSError: As ``Socket.take``; the held socket is closed then.
    """
    if held._exchange.endpoint.socket_path is None or not IS_POSSIBLE:  # noqa: SLF001 - one of us
        return held
    try:
        return Taken(held)
    except BaseException:
        held.close()
        raise


@contextlib.contextmanager
def _forgotten_is_fine() -> Iterator[None]:
    """Pass over EBADF: somebody else had the daemon close it; the descriptor here is good all the same."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
