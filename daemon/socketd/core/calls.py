"""The system calls that change what a socket is: bind, listen, accept, shutdown."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Final

from socketd.core.entry import UnixFile
from socketd.core.hints import refused
from socketd.core.waiting import until_done
from socketd.errors import BusyError

if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from socketd.core.address import Address
    from socketd.core.entry import Entry
    from socketd.core.table import Origin, SocketTable
    from socketd.core.waiting import Patience

POLLIN: Final = 0x001

# accept(2): "already-pending network errors on the new socket" that belong to a connection which is
# gone, not to the listener; another one may be waiting behind it.
_OF_THE_CONNECTION: Final = frozenset(
    {errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH}
)


def bind(sock: _socket.socket, address: Address) -> UnixFile | None:
    """Give a socket its local address; returns the socket file if that made one.

    Raises:
        KernelRefusedError: EADDRINUSE, EACCES, EADDRNOTAVAIL, EINVAL if it is bound already, …
        NotPermittedError: The address has a way, and that does not lead there.

    Source: bind(2), unix(7).
    """
    if address.way is not None:
        return address.way.bind(sock, address.sockaddr)
    try:
        sock.bind(address.sockaddr)
    except OSError as error:
        raise refused(error, "bind") from error
    if address.family != socket.AF_UNIX or isinstance(address.sockaddr, bytes) or not address.sockaddr:
        return None
    try:
        made = os.lstat(address.sockaddr)
    except OSError:  # somebody was quick to remove it
        return None
    return UnixFile(address.sockaddr, made.st_dev, made.st_ino)


def listen(sock: _socket.socket, backlog: int) -> None:
    """Accept connections into a queue of ``backlog``, which the kernel caps at ``net.core.somaxconn``.

    Raises:
        KernelRefusedError: EOPNOTSUPP, EINVAL, EADDRINUSE.

    Source: listen(2).
    """
    try:
        sock.listen(backlog)
    except OSError as error:
        raise refused(error, "listen") from error


def accept(
    table: SocketTable,
    listener: Entry,
    origin: Origin,
    patience: Patience,
    check_room: Callable[[], None] = lambda: None,
) -> Entry:
    """Wait for a connection, take it from the backlog and hold it.

    Args:
        table: Where it is held.
        listener: Where it comes to.
        origin: What is noted of it.
        patience: How long to wait.
        check_room: Called before each attempt to take one; what it raises leaves all where they are.

    Raises:
        KernelRefusedError: EINVAL if it does not listen, EMFILE, …
        BusyError: It is out in blocking mode.
        WouldBlockError, WaitTimeoutError, ClosedMeanwhileError, ClientGoneError: Nothing was taken.

    Source: accept(2).
    """

    def attempt() -> Entry | None:
        if listener.is_blocking:
            raise BusyError(listener.reference, "accept")
        check_room()
        # O_NONBLOCK belongs to the open file description, so whoever took a duplicate may have
        # cleared it; a blocking accept would stop the whole daemon.
        os.set_blocking(listener.fd, False)
        while True:
            try:
                return table.hold_accepted(listener, origin)
            except OSError as error:
                if error.errno not in _OF_THE_CONNECTION:
                    raise refused(error, "accept") from error

    return until_done(listener, POLLIN, "accept", patience, attempt)


def shutdown(entry: Entry, how: int) -> None:
    """End one or both directions, for every duplicate of the socket too.

    Raises:
        KernelRefusedError: ENOTCONN.

    Source: shutdown(2).
    """
    try:
        entry.sock.shutdown(how)
    except OSError as error:
        raise refused(error, "shutdown") from error
