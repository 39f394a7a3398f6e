"""The daemon of ``tests/daemon_process.py`` for the tests of this folder."""

from __future__ import annotations

from tests.daemon_process import daemon, fresh_daemon

__all__ = ["daemon", "fresh_daemon"]
