"""Who may connect to a socket file: its mode and group, as they were asked for and may be given."""

from __future__ import annotations

import contextlib
import grp
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd.core.entry import UnixFile
from socketd.core.hints import refused
from socketd.errors import InvalidRequestError, NotPermittedError

if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterator

    from socketd.access.caller import Caller
    from socketd.core.address import FileAccess

ROOT: Final = 0


@dataclass(frozen=True, slots=True)
class Access:
    """What a file is given; ``None`` leaves it as ``bind(2)`` makes it."""

    mode: int | None = None
    gid: int | None = None


AS_MADE: Final = Access()


def granted(caller: Caller, asked: FileAccess | None) -> Access:
    """Turn what was asked for into what the caller may have.

    Blocks as long as the name service does (an LDAP, say).

    Raises:
        InvalidRequestError: There is no such group.
        NotPermittedError: The caller is not in the group.
    """
    if asked is None:
        return AS_MADE
    if asked.group is None:
        return Access(asked.mode)
    gid = _gid(asked.group)
    if caller.uid != ROOT and gid not in caller.groups:
        raise NotPermittedError(
            f"you are not in the group {asked.group}",
            hint="a socket file is given to a group of the caller's own",
        )
    return Access(asked.mode, gid)


def is_as_asked(asked: FileAccess | None, made: UnixFile | None) -> bool:
    """Whether a file has the mode and group that a request names; those that it does not name are right."""
    if asked is None or (asked.mode is None and asked.group is None):
        return True
    try:
        found = None if made is None else os.lstat(made.path)
    except OSError:
        return False
    if made is None or found is None or (found.st_dev, found.st_ino) != (made.device, made.inode):
        return False
    if asked.mode is not None and stat.S_IMODE(found.st_mode) != asked.mode:
        return False
    return asked.group is None or found.st_gid == _gid(asked.group)


@contextmanager
def narrowed(sock: _socket.socket, mode: int | None) -> Iterator[None]:
    """Have a file that is bound in the block made for its owner alone: ``bind`` takes the socket's own bits.

    Args:
        sock: The socket to be bound.
        mode: What the file is given later; ``None``: nothing, and then it is made as ever.

    Source: unix_bind_bsd() in net/unix/af_unix.c; the umask takes more away.
    """
    if mode is None:
        yield
        return
    fd = sock.fileno()
    before = stat.S_IMODE(os.fstat(fd).st_mode)
    # EPERM: another user made the socket and gave it; then the umask alone makes it narrow.
    with contextlib.suppress(PermissionError):
        os.fchmod(fd, before & mode & stat.S_IRWXU)
    try:
        yield
    finally:
        with contextlib.suppress(PermissionError):
            os.fchmod(fd, before)


def settle(parent: int, path: str, access: Access) -> UnixFile | None:
    """Give the file that ``bind`` has just made its mode and group; what fails leaves no file.

    Args:
        parent: A descriptor of the folder it is in.
        path: What was bound; its last part is the file's name.
        access: What to give.

    Returns:
        ``None`` if somebody was quick to remove it.

    Raises:
        NotPermittedError: Something else is there by now.
        KernelRefusedError: What chown(2) and chmod(2) say.
    """
    try:
        held = os.open(os.path.split(path)[1], os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refused(error, "bind") from error
    try:
        found = os.fstat(held)
        if not _is_just_made(found):
            raise NotPermittedError(f"{path} was replaced while it was made")
        made = UnixFile(path, found.st_dev, found.st_ino)
        try:
            _give(held, access)
        except BaseException:
            made.remove()
            raise
        return made
    finally:
        os.close(held)


def itself(held: int) -> str:
    """Name what an O_PATH descriptor holds: the calls that want a path follow this link to nothing else."""
    return f"/proc/self/fd/{held}"


def _give(held: int, access: Access) -> None:
    """Set the group, then the mode: in between the file is as narrow as it was made."""
    call = "chown"
    try:
        if access.gid is not None:
            os.chown(itself(held), -1, access.gid)
        call = "chmod"
        if access.mode is not None:
            os.chmod(itself(held), access.mode)  # noqa: PTH101 (of a descriptor)
    except OSError as error:
        raise refused(error, call) from error


def _is_just_made(found: os.stat_result) -> bool:
    """Whether it can be the file that our bind made.

    The owner of its folder may have put something in its place, to have that opened to the group and mode
    asked for: by link(2) somebody else's socket, which then has two links; by rename(2) only what it might
    remove anyway.
    """
    return stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1


def _gid(group: str | int) -> int:
    if isinstance(group, int):
        return group
    try:
        return grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):  # ValueError: a NUL, or half a surrogate pair
        raise InvalidRequestError(f"there is no group {group!r}", member="group") from None
