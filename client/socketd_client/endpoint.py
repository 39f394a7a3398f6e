"""Where the daemon is: URLs of the API, read and defaulted."""

from __future__ import annotations

import ipaddress
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_SOCKET: Final = "/run/socketd/api.sock"
_UNIX: Final = "unix:"
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One daemon's address.

    Attributes:
        url: As it was given; shown in messages.
        base: What request paths are appended to.
        socket_path: The Unix socket, ``None`` over TCP.
        is_loopback: No proxy stands between us and it.
    """

    url: str
    base: str
    socket_path: str | None
    is_loopback: bool

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Read ``unix:///run/socketd/api.sock``, ``http://host:port`` or ``https://host/prefix``.

        The path of a ``unix:`` URL is percent-decoded (``%20``, ``%25``); ``?`` and ``#`` are part of it.

        Raises:
            ValueError: It is neither, or carries a user name or a query that would be dropped silently.
        """
        if url.startswith(_UNIX):
            return cls._parse_unix(url)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no URL of socketd: unix:///path, http://host:port or https://host")
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError(f"{url!r}: a token goes into SOCKETD_TOKEN or token=, not into the URL")
        base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        return cls(url, base, None, _is_loopback(parts.hostname))

    @classmethod
    def _parse_unix(cls, url: str) -> Endpoint:
        path = unquote(url.removeprefix(_UNIX), errors="surrogateescape")
        path = path.removeprefix("//")
        if not path.startswith("/") or "\0" in path:
            raise ValueError(
                f"{url!r} has no absolute path: write unix:///run/socketd/api.sock, three slashes"
            )
        # requests wants a host; the daemon takes "localhost" for one of its own names.
        return cls(url, "http://localhost", path, is_loopback=True)


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
        path = Path(directory, "api.sock")
        if _is_private(directory, uid) and path.exists():
            return unix_url(str(path))
    return unix_url(SYSTEM_SOCKET)


def unix_url(path: str) -> str:
    """Write the URL of a socket's path."""
    return f"{_UNIX}//{path.replace('%', '%25')}"


def _is_private(directory: str, uid: int) -> bool:
    try:
        found = os.lstat(directory)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & _OTHERS_MAY_WRITE


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
