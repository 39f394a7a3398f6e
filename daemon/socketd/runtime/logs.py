"""Where the daemon's log lines go, and what they look like: stderr, one line each."""

from __future__ import annotations

import logging
import os
import sys

FOR_PEOPLE = "%(asctime)s %(levelname)s %(name)s[%(process)d]: %(message)s"
FOR_JOURNAL = "%(levelname)s %(name)s[%(process)d]: %(message)s"  # the journal has its own clock


def set_up(level: str) -> None:
    """Send everything of ``level`` and above to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FOR_JOURNAL if "JOURNAL_STREAM" in os.environ else FOR_PEOPLE))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
