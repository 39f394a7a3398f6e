"""Parents, orphans and names: the calls of prctl(2) that we need and the standard library lacks."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from signal import Signals

_SET_PDEATHSIG: Final = 1  # include/uapi/linux/prctl.h
_SET_NAME: Final = 15
_SET_CHILD_SUBREAPER: Final = 36
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number: Signals) -> None:
    """Have the kernel send ``number`` to this process when the thread that forked it ends.

    It holds through an execve(2) of an ordinary program, and not for children of this process. A parent that
    has died before the call is not noticed: compare ``os.getppid()`` after it.

    Source: PR_SET_PDEATHSIG(2const).
    """
    _call(_SET_PDEATHSIG, int(number))


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, in the place of process 1.

    Source: PR_SET_CHILD_SUBREAPER(2const).
    """
    _call(_SET_CHILD_SUBREAPER, 1)


def name_process(name: str) -> None:
    """Have ps(1) and top(1) call this process ``name``, of at most 15 bytes; its arguments stay as they are.

    Source: PR_SET_NAME(2const).
    """
    _call(_SET_NAME, ctypes.c_char_p(name.encode()))


def _call(option: int, value: int | ctypes.c_char_p) -> None:
    unused = ctypes.c_ulong(0)
    argument = ctypes.c_ulong(value) if isinstance(value, int) else value
    if _LIBC.prctl(ctypes.c_int(option), argument, unused, unused, unused) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl: {os.strerror(error)}")
