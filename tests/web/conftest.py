"""The daemon of ``daemon_process.py`` and the application of ``in_process.py``, for this folder."""

from __future__ import annotations

from tests.daemon_process import daemon, fresh_daemon
from tests.web.in_process import _module_web, web

__all__ = ["_module_web", "daemon", "fresh_daemon", "web"]
