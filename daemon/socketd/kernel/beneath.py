"""Opening what lies beneath a folder by its path from there, over no symbolic link."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

# O_PATH: what is opened is held and looked at, and not read; so it needs no permission of its own.
_HELD: Final = os.O_PATH | os.O_CLOEXEC


def hold_folder(path: str) -> int:
    """Open a folder, close-on-exec; the caller owns the descriptor.

    Links in front of the last part are followed: whoever names the folder is trusted to know them.

    Raises:
        OSError: ENOENT; ENOTDIR for anything but a folder, a link to one included; EACCES, …
    """
    # With a slash at the end the kernel follows a link all the same (path_resolution(7)).
    return os.open(path.rstrip("/") or "/", _HELD | os.O_DIRECTORY | os.O_NOFOLLOW)


def hold(folder: int, path: str, *, is_folder: bool = False) -> int:
    """Open what ``path`` leads to from ``folder``, close-on-exec; the caller owns the descriptor.

    It is what openat2(2) does for RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS, part by
    part: each is looked up in the folder that is held, and is held before the next. openat2 itself is not
    to be had where it counts: in a unit with ``RestrictSUIDSGID=yes`` the filter answers ENOSYS, since it
    cannot see the flags behind the pointer (systemd 252).

    Args:
        folder: A descriptor of the folder, which stays the caller's.
        path: Relative; ``.`` is the folder itself.
        is_folder: It has to be one.

    Raises:
        OSError: ELOOP where a part of the path, the last one too, is a link; EXDEV for ``..`` and for an
            absolute path; ENOENT, ENOTDIR, EACCES as open(2) has them.
        ValueError: The path holds a NUL.
    """
    names = path.split("/")
    if ".." in names or path.startswith("/"):
        raise _error(errno.EXDEV, path)
    held = os.dup(folder)
    try:
        for name in names:
            if name not in {"", "."}:
                held = _step(held, name, path)
        if is_folder or names[-1] in {"", "."}:
            _check_folder(held, path)
    except BaseException:
        os.close(held)
        raise
    return held


def _step(held: int, name: str, path: str) -> int:
    """Go from a folder to what it has; closes ``held`` unless it fails."""
    following = os.open(name, _HELD | os.O_NOFOLLOW, dir_fd=held)
    # With O_PATH and O_NOFOLLOW a link is not refused but opened itself (open(2)), those of /proc as well.
    if stat.S_ISLNK(os.fstat(following).st_mode):
        os.close(following)
        raise _error(errno.ELOOP, path)
    os.close(held)
    return following


def _check_folder(held: int, path: str) -> None:
    if not stat.S_ISDIR(os.fstat(held).st_mode):
        raise _error(errno.ENOTDIR, path)


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
