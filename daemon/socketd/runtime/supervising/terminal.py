"""The terminal that we were started from, if any: a hangup is its end, and not the wish to reload."""

from __future__ import annotations

import os
import signal


class Terminal:
    """Remembers whether there was a controlling terminal, and whoever sits there wants to be followed.

    nohup(1) ignores SIGHUP for its command: that one outlives its terminal.
    """

    def __init__(self) -> None:
        self._is_followed = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _is_there()

    @property
    def is_lost(self) -> bool:
        """Whether it was there and no longer is."""
        return self._is_followed and not _is_there()


def _is_there() -> bool:
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:  # ENXIO: this session has none, or none any more (tty(4))
        return False
    os.close(fd)
    return True
