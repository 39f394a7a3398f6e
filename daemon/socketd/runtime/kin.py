"""Which processes are the daemon's own: what they hold for others is for nobody to copy."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Final

_PROGRAM: Final = "socketd"
_COMMANDS: Final = frozenset({"serve", "run", "keep"})
_PARENT: Final = 1  # the second field behind the name in /proc/pid/stat, proc_pid_stat(5)


def is_own(pid: int) -> bool:
    """Whether a process is this one, its parent, its heir, or a keeper or supervisor, of whichever daemon.

    The keeper cannot be asked who it is: systemd listens for it, and SO_PEERCRED names who listens. So it is
    told by its command line; who puts on such a one just keeps us away.
    """
    return pid in {os.getpid(), os.getppid()} or _parent(pid) == os.getpid() or _is_socketd(pid)


def _parent(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it is no more, or not for us to see
        return None
    return int(stat.rpartition(")")[2].split()[_PARENT])


def _is_socketd(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return any(Path(word).name == _PROGRAM and after in _COMMANDS for word, after in pairwise(words))
