"""URLs of Unix sockets: read, written and defaulted, without an import that a command line would wait for."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_SOCKET: Final = "/run/socketd/api.sock"
_UNIX: Final = "unix:"
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def default_url(environ: Mapping[str, str]) -> str:
    """Find the daemon of this user, else name the system's.

    A socket under ``/tmp`` counts only in a directory that is ours alone: anybody could have made it.
    """
    uid = os.geteuid()
    runtime = environ.get("XDG_RUNTIME_DIR")
    directories = [f"/tmp/socketd-{uid}"]  # noqa: S108 - checked by _is_private
    if runtime:
        directories.insert(0, f"{runtime}/socketd")
    for directory in directories:
        path = f"{directory}/api.sock"
        if _is_private(directory, uid) and os.path.exists(path):  # noqa: PTH110 - a Path costs an import
            return unix_url(path)
    return unix_url(SYSTEM_SOCKET)


def unix_url(path: str) -> str:
    """Write the URL of a socket's path."""
    return f"{_UNIX}//{path.replace('%', '%25')}"


def unix_path(url: str) -> str | None:
    """Read the path of a ``unix:`` URL; ``None`` for any other.

    It is percent-decoded (``%20``, ``%25``); ``?`` and ``#`` are part of it.

    Raises:
        ValueError: It has no absolute path.
    """
    if not url.startswith(_UNIX):
        return None
    path = url.removeprefix(_UNIX).removeprefix("//")
    if "%" in path:
        from urllib.parse import unquote  # noqa: PLC0415 - 4 ms, and rarely needed

        path = unquote(path, errors="surrogateescape")
    if not path.startswith("/") or "\0" in path:
        raise ValueError(f"{url!r} has no absolute path: write unix:///run/socketd/api.sock, three slashes")
    return path


def _is_private(directory: str, uid: int) -> bool:
    try:
        found = os.lstat(directory)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & _OTHERS_MAY_WRITE
