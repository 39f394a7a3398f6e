"""``SSLContext.wrap_socket`` for held sockets: ``ssl`` reads and writes by descriptor, so it is given one."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final

from socketd_client.handle import Socket
from socketd_client.taken import Taken

if TYPE_CHECKING:
    import socket

# The original: the stand-in is in its place when it is needed.
_wrap: Final = ssl.SSLContext.wrap_socket


def wrap_socket(
    self: ssl.SSLContext,
    sock: socket.socket | Socket,
    *arguments: Any,
    **options: Any,
) -> ssl.SSLSocket:
    """Wrap a socket as ``ssl`` does; a held one's descriptor is taken for it, and the daemon forgets it.

    Raises:
        OSError: EOPNOTSUPP over TCP, where no descriptor can travel; the handle is then as before.
    """
    if not isinstance(sock, Socket):
        return _wrap(self, sock, *arguments, **options)
    taken = _second(sock)
    try:
        return _wrap(self, taken, *arguments, **options)
    finally:
        if taken.fileno() == -1:  # it is detached as soon as ssl has the descriptor, and then ssl closes it
            sock.detach()
        else:
            taken.close()


def _second(sock: Socket) -> Taken:
    """Take the descriptor beside the handle: closing what is returned closes nothing else."""
    sock._must_be_open()  # noqa: SLF001 - one of us; nor does a derived class' constructor come into it
    held = Socket.of(sock._exchange, sock.snapshot, is_owned=sock._is_owned, is_duplicate=True)  # noqa: SLF001
    held.settimeout(sock.gettimeout())
    try:
        return Taken(held)
    except BaseException:
        held.close()
        raise
