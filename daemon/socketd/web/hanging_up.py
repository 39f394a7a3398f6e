"""Ending a connection that a greenlet may be sending on, from another one."""

from __future__ import annotations

import _socket
import contextlib


def hang_up(fd: int) -> None:
    """Shut a connection both ways; whoever is sending on it is told EPIPE. The number stays open."""
    # Not the server's own socket object: that one throws EBADF into the greenlet that waits.
    bare = _socket.socket(fileno=fd)
    try:
        with contextlib.suppress(OSError):  # ENOTCONN: it has gone
            bare.shutdown(_socket.SHUT_RDWR)
    finally:
        bare.detach()
