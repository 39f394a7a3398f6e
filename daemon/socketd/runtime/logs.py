"""Where the daemon's log lines go, and what they look like: stderr, one line each."""

from __future__ import annotations

import logging
import os
import sys

from gunicorn.glogging import Logger

FOR_PEOPLE = "%(asctime)s %(levelname)s %(name)s[%(process)d]: %(message)s"
FOR_JOURNAL = "%(levelname)s %(name)s[%(process)d]: %(message)s"  # the journal has its own clock


def set_up(level: str) -> None:
    """Send everything of ``level`` and above to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FOR_JOURNAL if "JOURNAL_STREAM" in os.environ else FOR_PEOPLE))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())


class GunicornLogger(Logger):  # type: ignore[misc]
    """gunicorn's log lines among ours; the routine ones only when debugging."""

    def setup(self, cfg: object) -> None:
        """Let the lines go where ours go."""
        self.cfg = cfg
        self._access_log_enabled = False
        chatty = logging.getLogger().level <= logging.DEBUG
        self.error_log.handlers = []
        self.error_log.propagate = True
        self.error_log.setLevel(logging.DEBUG if chatty else logging.WARNING)

    def close_on_exec(self) -> None:
        """Nothing of ours is opened for the log."""

    def reopen_files(self) -> None:
        """Stderr is nobody's to reopen."""
