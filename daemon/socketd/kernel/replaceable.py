"""Whether a path will lead where it leads now: which folder or link on the way others can replace."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

_MOST_LINKS: Final = 40  # MAXSYMLINKS, include/linux/namei.h
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH  # with an ACL the group's bits are its mask: acl(5)


@dataclass(frozen=True, slots=True)
class Replaceable:
    """A part of a path that somebody could put something else in the place of.

    Attributes:
        path: The part, without links in front of it.
        holder: The folder that has it.
        uid: Whose that folder is.
        mode: Its permission bits.
    """

    path: str
    holder: str
    uid: int
    mode: int


def first_replaceable(path: str, trusted: Collection[int]) -> Replaceable | None:
    """Find the first part of ``path`` that a user who is not trusted could replace; ``None``: there is none.

    Where there is none, the parts looked at stay what they are while the others are looked at, so the answer
    holds until a trusted user changes something.

    Args:
        path: Of something that exists, absolute.
        trusted: Users by number; root should be one of them, as it can do everything.

    Raises:
        OSError: ENOENT, ENOTDIR, EACCES; ELOOP for too many links.

    Source: path_resolution(7), inode(7) on the sticky bit.
    """
    at, links = "/", 0
    todo = _parts(path)
    while todo:
        name = todo.pop()
        if name == "..":  # in a link; ``at`` has none, so its parent is in front of its last slash
            at = os.path.dirname(at)
            continue
        part = os.path.join(at, name)
        holder, found = os.stat(at), os.lstat(part)
        if _can_replace(holder, found, trusted):
            return Replaceable(part, at, holder.st_uid, stat.S_IMODE(holder.st_mode))
        if not stat.S_ISLNK(found.st_mode):
            at = part
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(part)
        at = "/" if target.startswith("/") else at
        todo += _parts(target)
    return None


def _parts(path: str) -> list[str]:
    """Split into names, the first one last."""
    return [name for name in reversed(path.split("/")) if name not in {"", "."}]


def _can_replace(holder: os.stat_result, found: os.stat_result, trusted: Collection[int]) -> bool:
    """Whether somebody else can rename or remove ``found``, which the folder ``holder`` has."""
    if holder.st_uid not in trusted:
        return True
    if not holder.st_mode & _OTHERS_WRITE:
        return False
    return not holder.st_mode & stat.S_ISVTX or found.st_uid not in trusted
