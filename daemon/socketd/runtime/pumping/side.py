"""One of the two sockets of a flow, as far as is known of it without asking."""

from __future__ import annotations

import _socket
import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gevent import monkey

from socketd.errors import KernelRefusedError

if TYPE_CHECKING:
    from typing import Self

_TCP: Final = frozenset({_socket.AF_INET, _socket.AF_INET6})
_POLLHUP: Final = 0x10
new_poll = monkey.get_original("select", "poll")


class SideError(Exception):
    """A socket can no longer be read or written."""

    def __init__(self, side: Side, error: KernelRefusedError) -> None:
        super().__init__(str(error))
        self.side = side
        self.error = error


class Side:
    """A duplicate of a socket.

    Attributes:
        is_readable: Something may be there; until the kernel says EAGAIN, and again from its next event on.
        is_writable: Likewise: there may be room.
        is_at_end: Its end of file was read.
        is_shut: Our direction has ended.
        is_spliced: Bytes can be taken out of it without a copy.
        is_unix: Descriptors may lie between its bytes.
        is_guest: It may leave, and the other side is not told.
    """

    __slots__ = (
        "fd",
        "is_at_end",
        "is_guest",
        "is_readable",
        "is_shut",
        "is_spliced",
        "is_unix",
        "is_writable",
        "sock",
    )

    def __init__(self, sock: _socket.socket, *, is_guest: bool) -> None:
        """Take ownership of ``sock``."""
        self.sock = sock
        self.is_guest = is_guest
        self.fd = sock.fileno()
        self.is_readable = self.is_writable = True
        self.is_at_end = self.is_shut = False
        self.is_unix = sock.family == _socket.AF_UNIX
        self.is_spliced = sock.family in _TCP and sock.proto == _socket.IPPROTO_TCP

    @classmethod
    def of(cls, fd: int, *, is_guest: bool = False) -> Self:
        """Duplicate ``fd``, which must be a connected stream socket.

        Raises:
            KernelRefusedError: EMFILE, EBADF, ENOTSOCK, EOPNOTSUPP, ENOTCONN.
        """
        try:
            number = os.dup(fd)
        except OSError as error:
            raise KernelRefusedError(error, "dup") from error
        try:
            sock = _socket.socket(fileno=number)
        except OSError as error:
            os.close(number)
            raise KernelRefusedError(error, "getsockname") from error
        try:
            _check(sock)
            return cls(sock, is_guest=is_guest)
        except BaseException:
            sock.close()
            raise

    def can_wait(self) -> bool:
        """Whether splice(2) could wait for this socket.

        SPLICE_F_NONBLOCK is about the pipe. For the socket the file's O_NONBLOCK counts (tcp_splice_read,
        splice_to_socket), and whoever has a duplicate may clear it.
        """
        return os.get_blocking(self.fd)

    def can_splice(self) -> bool:
        """Whether bytes can be taken out of it by splice(2) now, and that does not wait."""
        return self.is_spliced and not self.can_wait()

    def failed(self, error: OSError, syscall: str) -> SideError:
        """Say that it did."""
        return SideError(self, KernelRefusedError(error, syscall))

    def pending_error(self) -> OSError | None:
        """Return what the kernel has to tell of it, once."""
        number = self.sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        return OSError(number, os.strerror(number)) if number else None

    def has_left(self) -> bool:
        """Whether its peer neither reads nor writes any more, as far as can be known (POLLHUP).

        Once our direction has ended, that is what a peer looks like that ends its own.
        """
        if self.is_shut:
            return False
        poll = new_poll()
        poll.register(self.fd, 0)
        return any(events & _POLLHUP for _, events in poll.poll(0))

    def end_sending(self) -> None:
        """Tell the peer that nothing more comes."""
        self.is_shut = True
        self._shutdown(_socket.SHUT_WR)

    def end(self) -> None:
        """End both directions."""
        self._shutdown(_socket.SHUT_RDWR)

    def _shutdown(self, how: int) -> None:
        with suppress(OSError):  # ENOTCONN: it has been reset
            self.sock.shutdown(how)


def _check(sock: _socket.socket) -> None:
    if sock.type != _socket.SOCK_STREAM:
        raise KernelRefusedError(OSError(errno.EOPNOTSUPP, ""), "splice")
    try:
        sock.getpeername()
    except OSError as error:
        raise KernelRefusedError(error, "splice") from error
