"""Paths of socket files: how a caller comes to one, and to none outside of the folder it was granted."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from socketd.core.hints import refused
from socketd.errors import NotPermittedError
from socketd.kernel import beneath, replaceable
from socketd.service import socket_file
from socketd.service.socket_file import AS_MADE, ROOT

if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterator

    from socketd.access.caller import Caller
    from socketd.core.address import Address
    from socketd.core.entry import UnixFile
    from socketd.errors import SocketdError
    from socketd.service.socket_file import Access

FOLDER_MODE: Final = 0o711
"""Of a folder that is made for a caller: whom its sockets let in may pass, and nobody else may list them."""
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def to_bind(address: Address, caller: Caller, folder: str | None) -> Address:
    """Attach to an address that a caller may bind how it comes there; any but a path stays as it is.

    Args:
        address: As it was asked for, and allowed.
        caller: Who asks.
        folder: Absolute; what allowed it. ``None``: every path is allowed.

    Raises:
        InvalidRequestError: There is no such group.
        NotPermittedError: The caller is not in the group.
    """
    if not _is_path(address) or (folder is None and address.file is None):
        return address
    return replace(address, way=Way(folder, socket_file.granted(caller, address.file)))


def to_reach(address: Address, folder: str | None) -> Address:
    """Attach the same to an address that a caller may connect or send to."""
    if not _is_path(address) or folder is None:
        return address
    return replace(address, way=Way(folder))


@dataclass(frozen=True, slots=True)
class Way:
    """How the calls of one request come to a path (``core.seams.Way``).

    ``bind(2)`` takes a path and no descriptor of a folder, and the path is what ``getsockname`` says ever
    after; the programs that take the socket compare it. So it is bound by the very path that was asked for,
    and only where nobody but root and the daemon's own user can make that path lead elsewhere meanwhile.
    ``connect(2)`` leaves no such trace; it goes by a descriptor of the file itself.

    Attributes:
        folder: Nothing outside of it is touched; ``None``: everything may be.
        access: Of the socket file that ``bind`` makes.
    """

    folder: str | None
    access: Access = AS_MADE

    def bind(self, sock: _socket.socket, path: str) -> UnixFile | None:
        """Bind to a path, and give the file its mode and group; what fails leaves no file.

        Raises:
            NotPermittedError: The path leaves the folder, leads over a link, or somebody else could make it.
            KernelRefusedError: What bind(2), chown(2) and chmod(2) say.
        """
        parent = self._hold_parent(path)
        try:
            with socket_file.narrowed(sock, self.access.mode):
                try:
                    sock.bind(path)
                except OSError as error:
                    raise refused(error, "bind") from error
            return socket_file.settle(parent, path, self.access)
        finally:
            os.close(parent)

    @contextmanager
    def reach(self, path: str) -> Iterator[str]:
        """Hold a socket file while the block runs; gives a path that is this file, whatever comes after it.

        Raises:
            NotPermittedError: The path leaves the folder or leads over a link.
            KernelRefusedError: ENOENT, EACCES, …
        """
        held = self._hold(path, "connect")
        try:
            yield socket_file.itself(held)
        finally:
            os.close(held)

    def _hold_parent(self, path: str) -> int:
        """Open the folder that a socket file is to be made in, having seen that it stays where it is."""
        parent, _ = os.path.split(path)
        try:
            if self.folder is None:
                return os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self._relative(path)
            _make_folder(self.folder.rstrip("/"))
            _check_lasting(parent)
        except OSError as error:
            raise refused(error, "bind") from error
        return self._hold(parent, "bind", is_folder=True)

    def _hold(self, path: str, call: str, *, is_folder: bool = False) -> int:
        """Open what is in the folder, or is the folder, for a ``call``."""
        relative = self._relative(path)
        try:
            folder = beneath.hold_folder(self.folder or "/")
        except NotADirectoryError:
            raise NotPermittedError(f"the granted folder {self.folder} is a link, or no folder") from None
        except OSError as error:
            raise refused(error, call) from error
        try:
            return beneath.hold(folder, relative, is_folder=is_folder)
        except OSError as error:
            raise self._told(error, path, call) from error
        finally:
            os.close(folder)

    def _relative(self, path: str) -> str:
        """Give the way from the folder to ``path``, as it is written."""
        folder = (self.folder or "/").rstrip("/")
        if not f"{path}/".startswith(f"{folder}/") or ".." in path.split("/"):
            raise NotPermittedError(f"{path} does not lie beneath {folder}/")
        return path[len(folder) :].lstrip("/") or "."

    def _told(self, error: OSError, path: str, call: str) -> SocketdError:
        if error.errno in {errno.ELOOP, errno.EXDEV}:
            return NotPermittedError(
                f"{path} leads over a symbolic link",
                hint=f"beneath {self.folder} links are not followed; write the path that it leads to",
            )
        return refused(error, call)


def _is_path(address: Address) -> bool:
    """Whether it is in the file system: abstract names are bytes, and the empty address is no path."""
    return address.family == socket.AF_UNIX and isinstance(address.sockaddr, str) and bool(address.sockaddr)


def _check_lasting(folder: str) -> None:
    """Refuse a folder that others can put elsewhere between one look at its path and the next."""
    found = replaceable.first_replaceable(folder, (ROOT, os.geteuid()))
    if found is not None:
        raise NotPermittedError(
            f"others could replace {found.path} while a socket is bound beneath it: {found.holder} is of "
            f"uid {found.uid} and has mode {found.mode:04o}",
            hint="a socket file may lie in a folder of yours, but each folder above that has to belong to "
            "root or to the daemon, and be writable for nobody else",
        )


def _make_folder(folder: str) -> None:
    """Make a granted folder that is not there yet, if the one above it is the daemon's alone."""
    above, name = os.path.split(folder)
    if not name or os.path.lexists(folder):
        return
    _check_lasting(above)
    found = os.stat(above)  # noqa: PTH116 (beside mkdir)
    if found.st_uid != os.geteuid() or found.st_mode & _OTHERS_WRITE:
        return  # bind will say that it is not there
    with contextlib.suppress(FileExistsError):  # another request was quicker
        os.mkdir(folder, stat.S_IRWXU)  # noqa: PTH102 (beside chmod)
        os.chmod(folder, FOLDER_MODE)  # noqa: PTH101 (mkdir's own mode is less by the umask)
