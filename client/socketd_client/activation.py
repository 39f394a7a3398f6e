"""Sockets that a parent left open for this program: ``LISTEN_FDS``, as sd_listen_fds(3) has it."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import MutableMapping

FIRST: Final = 3  # SD_LISTEN_FDS_START
UNNAMED: Final = "unknown"  # what systemd calls a descriptor without a name
_VARIABLES: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


def listen_fds(environ: MutableMapping[str, str] | None = None) -> dict[str, socket.socket]:
    """Take over the sockets that this process was started with, by name; ``{}`` if there are none.

    They are made close-on-exec, the variables are removed, and so a second call returns ``{}``. A name that
    comes again gets a number: ``web``, ``web.1``, ``web.2``. The blocking mode is left as it is.

    Args:
        environ: ``os.environ`` if left out.

    Raises:
        ValueError: The variables contradict themselves.
        OSError: EBADF or ENOTSOCK, one of the descriptors is no open socket; none is taken over then.
    """
    known = os.environ if environ is None else environ
    told = {name: known.pop(name, "") for name in _VARIABLES}
    # Meant for another process: a child that inherited the variables has not inherited the task.
    if not told["LISTEN_FDS"] or told["LISTEN_PID"] != str(os.getpid()):
        return {}
    if not (told["LISTEN_FDS"].isascii() and told["LISTEN_FDS"].isdecimal()):
        raise ValueError(f"LISTEN_FDS={told['LISTEN_FDS']!r} is no number")
    count = int(told["LISTEN_FDS"])
    names = told["LISTEN_FDNAMES"].split(":") if told["LISTEN_FDNAMES"] else [UNNAMED] * count
    if len(names) != count:
        raise ValueError(f"LISTEN_FDNAMES has {len(names)} names, and LISTEN_FDS says {count}")
    found: dict[str, socket.socket] = {}
    try:
        for fd, name in enumerate(names, start=FIRST):
            found[_free(name or UNNAMED, found)] = _adopted(fd)
    except BaseException:
        for sock in found.values():
            sock.detach()
        raise
    return found


def _adopted(fd: int) -> socket.socket:
    sock = socket.socket(fileno=fd)
    try:
        sock.set_inheritable(False)
        sock.setblocking(os.get_blocking(fd))  # tells the object what is, and changes nothing
    except BaseException:
        sock.detach()
        raise
    return sock


def _free(name: str, taken: dict[str, socket.socket]) -> str:
    candidate, number = name, 0
    while candidate in taken:
        number += 1
        candidate = f"{name}.{number}"
    return candidate
