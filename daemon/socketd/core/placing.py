"""Descriptors that came at any numbers move to the numbers they had before."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import TYPE_CHECKING

from socketd.errors import KernelRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence


def place(received: Sequence[tuple[int, int]]) -> None:
    """Move each descriptor to the number it wants, close-on-exec; a received one may sit at another's.

    Takes ownership of the received ones: afterwards they are open at their numbers and nowhere else, and when
    it fails all of them are closed. Never needs more than one number besides.

    Args:
        received: Pairs of a descriptor and the number it wants.

    Raises:
        KernelRefusedError: EBUSY, something that is not among the received ones is open at a number; it stays
            as it was. EINVAL, a number is not below RLIMIT_NOFILE. EMFILE.
        ValueError: A descriptor or a number comes twice.
    """
    open_numbers = {fd for fd, _ in received}
    try:
        _check(received)
        _place({number: fd for fd, number in received}, open_numbers)
    except BaseException:
        for fd in open_numbers:
            with contextlib.suppress(OSError):
                os.close(fd)
        raise


def _check(received: Sequence[tuple[int, int]]) -> None:
    if not len(received) == len(dict(received)) == len({number for _, number in received}):
        raise ValueError("a descriptor or a number comes twice")


def _place(source_of: dict[int, int], open_numbers: set[int]) -> None:
    """Move all, and keep in ``open_numbers`` what there is to close should one of them fail."""
    wanted_by = {fd: number for number, fd in source_of.items()}
    # A chain of moves ends at a number where none of ours sits. Free numbers are claimed, not looked at:
    # another thread may open a file at any time.
    for number in [number for number in source_of if number not in open_numbers]:
        _claim(source_of[number], number)
        open_numbers.add(number)
        _follow(number, source_of, open_numbers)
    # What is left sits at its number, or in a ring: one of each ring steps aside.
    while source_of:
        number, fd = next(iter(source_of.items()))
        if number == fd:
            os.set_inheritable(fd, False)  # noqa: FBT003 (its own signature)
            del source_of[number]
            continue
        spare = _duplicate(number, 0)
        open_numbers.add(spare)
        source_of[wanted_by[number]] = spare
        os.dup2(fd, number, inheritable=False)
        _follow(number, source_of, open_numbers)


def _follow(number: int, source_of: dict[int, int], open_numbers: set[int]) -> None:
    """Fill the number that what has come to ``number`` has left, and so on to the end of the chain."""
    left = source_of.pop(number)
    while left in source_of:
        following = source_of.pop(left)
        os.dup2(following, left, inheritable=False)
        left = following
    os.close(left)
    open_numbers.discard(left)


def _claim(fd: int, number: int) -> None:
    """Duplicate ``fd`` to a number that is free; dup3(2) would close what is open there."""
    got = _duplicate(fd, number)
    if got != number:
        os.close(got)
        raise KernelRefusedError(
            OSError(errno.EBUSY, ""), "fcntl", hint=f"descriptor {number} of the daemon itself is in the way"
        )


def _duplicate(fd: int, lowest: int) -> int:
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)
    except OSError as error:
        hint = f"RLIMIT_NOFILE must be above {lowest}" if error.errno == errno.EINVAL else None
        raise KernelRefusedError(error, "fcntl", hint=hint) from error
