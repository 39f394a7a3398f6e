"""Specifications as plain files, one each, whole at any time (``core.seams.SpecificationStore``)."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from socketd.core.naming import NAME
from socketd.core.saving import Saved, Unreadable
from socketd.errors import InvalidRequestError, NotSavedError, UnreadableSpecificationError
from socketd.runtime.disk import Disk
from socketd.runtime.specification_format import MOST_BYTES, decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SOCKETS: Final = "sockets"
TEMPORARY: Final = "tmp"
NEW: Final = f"{TEMPORARY}/new"  # with a name of its own: a socket's may have all 255 characters of a file's
_HERE: Final = "."


class Specifications:
    """The files of one daemon: ``DIRECTORY/sockets/NAME``. Calls must not overlap.

    A file is written under another name and renamed once it is on the disk, so that whoever is killed in
    between leaves the old one or the new one. The directory is locked as long as it is in use: two daemons
    with the same one would make the same sockets, and each keep the other from it.

    Args:
        directory: Made when something is to be saved, and not before.
        disk: Makes the system calls.
    """

    def __init__(self, directory: str, disk: Disk | None = None) -> None:
        self._directory = directory
        self._disk = disk or Disk()
        self._root: int | None = None
        self._is_made = False

    def close(self) -> None:
        """Let another daemon have the directory."""
        if self._root is not None:
            os.close(self._root)
            self._root = None

    def save(self, saved: Saved) -> None:
        """Write it, whole or not at all."""
        data = encode(saved)
        if len(data) > MOST_BYTES:
            raise InvalidRequestError(
                f"{len(data)} bytes of specification are more than the {MOST_BYTES} that can be saved",
                member="persist",
                symbol="EMSGSIZE",
            )
        root, path = self._made(), f"{SOCKETS}/{saved.name}"
        with self._told("stat", path):
            is_new = not self._disk.exists(root, path)
        self._replace(root, path, data)
        try:
            with self._told("fsync", SOCKETS):
                self._disk.sync_folder(root, SOCKETS)
        except BaseException:
            if is_new:
                self._withdraw(root, path)
            raise

    def remove(self, names: Sequence[str]) -> None:
        """Unlink their files, and wait for the disk once."""
        root = self._opened()
        if root is None:
            return
        for name in names:
            path = f"{SOCKETS}/{name}"
            with self._told("unlink", path), suppress(FileNotFoundError):
                self._disk.unlink(root, path)
        with self._told("fsync", SOCKETS), suppress(FileNotFoundError):
            self._disk.sync_folder(root, SOCKETS)

    def load(self) -> Sequence[Saved | Unreadable]:
        """Read every file; one with a name that no socket can have was put there by somebody else."""
        root = self._opened()
        names: list[str] = []
        if root is not None:
            with self._told("readdir", SOCKETS), suppress(FileNotFoundError):
                names = self._disk.list_folder(root, SOCKETS)
            return [self._read(root, name) for name in sorted(names) if NAME.fullmatch(name)]
        return ()

    def _read(self, root: int, name: str) -> Saved | Unreadable:
        path = f"{SOCKETS}/{name}"
        full = f"{self._directory}/{path}"
        try:
            data = self._disk.read(root, path, MOST_BYTES + 1)
        except OSError as error:
            why = (
                os.strerror(error.errno) if error.errno else "it is not an ordinary file of the daemon's user"
            )
            return Unreadable(name, UnreadableSpecificationError(full, why))
        try:
            return decode(data, name, full)
        except UnreadableSpecificationError as error:
            return Unreadable(name, error)

    def _replace(self, root: int, path: str, data: bytes) -> None:
        try:
            with self._told("write", NEW):
                self._disk.write(root, NEW, data)
            with self._told("rename", path):
                self._disk.rename(root, NEW, path)
        except BaseException:
            self._withdraw(root, NEW)  # it may be what fills the disk
            raise

    def _withdraw(self, root: int, path: str) -> None:
        with suppress(OSError):
            self._disk.unlink(root, path)

    def _opened(self) -> int | None:
        """Give the directory, locked; ``None`` if there is none.

        Raises:
            NotSavedError: It cannot be opened, or is another daemon's (EBUSY).
        """
        if self._root is None:
            try:
                with self._told("open", _HERE):
                    self._root = self._disk.open_root(self._directory)
            except NotSavedError as error:
                if error.symbol != "ENOENT":
                    raise
        return self._root

    def _made(self) -> int:
        """Give the directory with its folders; make what is missing.

        Raises:
            NotSavedError: It cannot be made.
        """
        root = self._opened()
        if root is None:
            with self._told("mkdir", _HERE):
                self._disk.make_root(self._directory)
            with self._told("open", _HERE):
                root = self._root = self._disk.open_root(self._directory)
        if not self._is_made:
            for folder in (SOCKETS, TEMPORARY):
                with self._told("mkdir", folder), suppress(FileExistsError):
                    self._disk.make_folder(root, folder)
            with self._told("fsync", _HERE):
                self._disk.sync_folder(root, _HERE)
            self._is_made = True
        return root

    @contextmanager
    def _told(self, syscall: str, path: str) -> Iterator[None]:
        """Turn what the body's system call refuses into the error that names the file."""
        try:
            yield
        except BlockingIOError as error:  # flock(2) says EWOULDBLOCK, but asking again at once is no use
            raise NotSavedError(OSError(errno.EBUSY, ""), "flock", self._directory) from error
        except OSError as error:
            full = self._directory if path == _HERE else f"{self._directory}/{path}"
            raise NotSavedError(error, syscall, full) from error
