"""The path where daemons connect: locked, bound for us alone, removed at the end."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import TYPE_CHECKING, Final, Self

from socketd.kernel import path_lock

if TYPE_CHECKING:
    from pathlib import Path

_BACKLOG: Final = 16


class PlaceError(Exception):
    """The path cannot be ours; the message says why."""


class Place:
    """A listening socket at a path, and the lock that makes it ours.

    Attributes:
        listener: Non-blocking, SOCK_SEQPACKET.
    """

    def __init__(self, path: Path, lock_fd: int, listener: socket.socket) -> None:
        """Take ownership of all; use ``open``."""
        self.listener = listener
        self._path = path
        self._lock_fd = lock_fd

    @classmethod
    def open(cls, path: Path) -> Self:
        """Listen at ``path``.

        Raises:
            PlaceError: Another keeper serves there, or the system refuses.
        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock_fd = path_lock.lock(path)
            try:
                return cls(path, lock_fd, _listen(path))
            except BaseException:
                os.close(lock_fd)
                raise
        except path_lock.PathTakenError as error:
            raise PlaceError(f"{path}: another keeper serves there (pid {error.pid})") from None
        except OSError as error:  # of a path longer than sun_path Python says so itself, without an errno
            raise PlaceError(f"{path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Stop listening, and let another keeper have the path."""
        self.listener.close()
        self._path.unlink(missing_ok=True)
        path_lock.remove(self._path)
        os.close(self._lock_fd)


def _listen(path: Path) -> socket.socket:
    _remove_stale(path)
    kind = socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    listener = socket.socket(socket.AF_UNIX, kind)
    try:
        os.fchmod(listener.fileno(), 0o600)  # bind gives the path the socket's own mode (unix_bind_bsd)
        listener.bind(os.fspath(path))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove what a killed keeper left: we have the lock, so nobody of ours serves there."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(errno.EEXIST, "there already, and no socket")
    except FileNotFoundError:
        return
    path.unlink()
