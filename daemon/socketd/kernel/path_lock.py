"""A lock beside a socket's path: one program at a time serves there, and a killed one leaves no trace.

The lock is flock(2) on ``<path>.lock``, which goes with the last process that has it open; the file says by
which process it was taken.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class PathTakenError(Exception):
    """Somebody else has the lock.

    Attributes:
        pid: Of who took it, as text; ``unknown`` if that was not written yet.
    """

    def __init__(self, pid: str) -> None:
        super().__init__(f"locked by pid {pid}")
        self.pid = pid


def lock(path: Path) -> int:
    """Take the lock of ``path``; return a descriptor that keeps it, also in processes that inherit it.

    Raises:
        PathTakenError: Another process has it.
        OSError: The file cannot be made.
    """
    name = _name(path)
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
            raise PathTakenError(pid) from None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # whoever had it removed it between our open and our lock: take the next one


def remove(path: Path) -> None:
    """Remove the file; the lock itself is given back by closing its descriptor, after this."""
    _name(path).unlink(missing_ok=True)


def _name(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _is_still(fd: int, name: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), name.stat())
    return False
