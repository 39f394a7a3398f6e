"""System calls on files, relative to a folder that is open; each may fail, and a test makes it."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO must not hold us up


class Disk:
    """The file system as it is. What takes ``folder`` reads ``path`` relative to that descriptor."""

    def make_root(self, path: str) -> None:
        """Make a folder and those above it, as far as they are missing."""
        os.makedirs(path, FOLDER_MODE, exist_ok=True)  # noqa: PTH103 (as all of this module)

    def open_root(self, path: str) -> int:
        """Open a folder, which the caller owns, and lock it for as long as it is open.

        Raises:
            BlockingIOError: Somebody else has the lock.
        """
        folder = os.open(path, _FOLDER)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(folder)
            raise
        return folder

    def make_folder(self, folder: int, path: str) -> None:
        """Make a folder in a folder; that it is there already is an error."""
        os.mkdir(path, FOLDER_MODE, dir_fd=folder)

    def list_folder(self, folder: int, path: str) -> list[str]:
        """List the names in a folder."""
        with _opened(folder, path, _FOLDER) as found:
            return os.listdir(found)  # noqa: PTH208 (a descriptor has no path)

    def sync_folder(self, folder: int, path: str) -> None:
        """Have what was made, renamed and removed in a folder on the disk (fsync(2))."""
        with _opened(folder, path, _FOLDER) as found:
            os.fsync(found)

    def exists(self, folder: int, path: str) -> bool:
        """Whether there is anything at ``path``."""
        try:
            os.stat(path, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def write(self, folder: int, path: str, data: bytes) -> None:
        """Write a file from its beginning, and have it on the disk (fsync(2))."""
        with _opened(folder, path, _NEW_FILE) as file:
            left = memoryview(data)
            while left:
                left = left[os.write(file, left) :]
            os.fsync(file)

    def read(self, folder: int, path: str, most: int) -> bytes:
        """Read an ordinary file that is our user's or root's, up to ``most`` bytes.

        Raises:
            PermissionError: It is something else, or somebody else's.
        """
        with _opened(folder, path, _OLD_FILE) as file:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode) or found.st_uid not in (os.geteuid(), 0):
                raise PermissionError
            with open(file, "rb", closefd=False) as reader:
                return reader.read(most)

    def rename(self, folder: int, old: str, new: str) -> None:
        """Give a file another name, in place of what has that name."""
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)

    def unlink(self, folder: int, path: str) -> None:
        """Remove a file."""
        os.unlink(path, dir_fd=folder)


@contextmanager
def _opened(folder: int, path: str, flags: int) -> Iterator[int]:
    fd = os.open(path, flags, FILE_MODE, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)
