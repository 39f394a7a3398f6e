"""The path where daemons connect: locked, bound for us alone, removed at the end."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from typing import TYPE_CHECKING, Final, Self

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
            lock_fd = _lock(path)
            try:
                return cls(path, lock_fd, _listen(path))
            except BaseException:
                os.close(lock_fd)
                raise
        except OSError as error:  # of a path longer than sun_path Python says so itself, without an errno
            raise PlaceError(f"{path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Stop listening, and let another keeper have the path."""
        self.listener.close()
        self._path.unlink(missing_ok=True)
        _lock_path(self._path).unlink(missing_ok=True)
        os.close(self._lock_fd)


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _lock(path: Path) -> int:
    name = _lock_path(path)
    while True:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(fd, name):
                os.ftruncate(fd, 0)
                os.pwrite(fd, b"%d\n" % os.getpid(), 0)
                return fd
        except BlockingIOError:
            pid = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise PlaceError(f"{path}: another keeper serves there (pid {pid})") from None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # whoever had it removed it between our open and our lock


def _is_still(fd: int, name: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), name.stat())
    except FileNotFoundError:
        return False


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
