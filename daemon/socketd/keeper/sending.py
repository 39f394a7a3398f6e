"""Sending one packet without waiting, and what can become of it."""

from __future__ import annotations

import errno
import logging
import os
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from socketd.kernel import scm

if TYPE_CHECKING:
    from collections.abc import Sequence

LATER_S: Final = 0.1
"""When to try again after ``LATER``."""
# Short of memory, or more descriptors under way than this user may have (too_many_unix_fds, net/unix/scm.c).
_PASSING: Final = frozenset({errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS})
# What says that nobody reads there, and never will.
_ENDED: Final = frozenset({errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE})

log = logging.getLogger(__name__)


class Sent(Enum):
    """What became of a packet."""

    YES = auto()
    FULL = auto()  # not yet, and poll(2) says when
    LATER = auto()  # not yet, and poll(2) does not
    REFUSED = auto()  # never: the other side takes no descriptors
    ENDED = auto()  # never: the other side is gone


def send(fd: int, packet: bytes, descriptors: Sequence[int] = ()) -> Sent:
    """Send all of ``packet`` with duplicates of ``descriptors``, or nothing; does not wait."""
    try:
        scm.send(fd, packet, descriptors)
    except BlockingIOError:
        return Sent.FULL
    except OSError as error:
        if error.errno in _PASSING:
            return Sent.LATER
        if error.errno in _ENDED:
            return Sent.ENDED
        log.warning("a packet was refused: %s", os.strerror(error.errno or 0))
        return Sent.REFUSED
    return Sent.YES
