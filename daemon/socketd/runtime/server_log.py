"""gunicorn's log lines among ours; apart from ``logs``, since not every command loads gunicorn."""

from __future__ import annotations

import logging

from gunicorn.glogging import Logger


class GunicornLogger(Logger):  # type: ignore[misc]
    """Writes by the root logger's handlers; the routine lines only when debugging."""

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
