"""One held socket, and the two ways to let go of its descriptor."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from dataclasses import dataclass
from typing import Final

from socketd.kernel import scm

_MOMENT_S: Final = 0.005
"""What most closings are over in, so that who was told of it finds the address free."""


@dataclass(slots=True, eq=False)
class Held:
    """A duplicate that is ours, what it is called, and what was said of it.

    Attributes:
        number: What the daemon calls it.
        fd: Ours; open until ``close``.
        inode: Of sockfs: the same for all duplicates of one socket.
        note: The daemon's; changes with ``Update``.
    """

    number: int
    fd: int
    inode: int
    note: bytes


class NotASocketError(ValueError):
    """A descriptor that came is something else than a socket."""


def take(number: int, fd: int, note: bytes) -> Held:
    """Take ownership of ``fd``, also where it raises.

    Raises:
        NotASocketError: It is something else.
    """
    status = os.fstat(fd)
    if not stat.S_ISSOCK(status.st_mode):
        os.close(fd)
        raise NotASocketError(f"the descriptor for number {number} is no socket")
    return Held(number, fd, status.st_ino, note)


def close(held: Held) -> None:
    """Close the descriptor, without waiting.

    Ours may be the last one, and then close(2) can wait: that is a thread's business. Switching SO_LINGER off
    instead would change the socket under whoever has taken a duplicate.
    """
    if scm.closing_may_wait(held.fd):
        with contextlib.suppress(RuntimeError):  # no thread to be had: then it waits here
            is_first = threading.active_count() == 1
            closing = threading.Thread(target=os.close, args=(held.fd,), daemon=True)
            closing.start()
            if is_first:
                closing.join(_MOMENT_S)
            return
    os.close(held.fd)
