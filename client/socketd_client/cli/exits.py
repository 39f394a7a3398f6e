"""The exit statuses of ``socketctl``."""

from __future__ import annotations

from typing import Final

OK: Final = 0
REFUSED: Final = 1  # the daemon or the kernel refused, or there is no daemon
USAGE: Final = 2  # what click exits with
TIMED_OUT: Final = 124  # as timeout(1)
CANNOT_EXEC: Final = 126  # as every shell
NOT_FOUND: Final = 127
SIGNALLED: Final = 128  # and the signal's number
