"""The daemon of ``tests/daemon_process.py`` and the machines of this folder, for its tests."""

from __future__ import annotations

from tests.daemon_process import daemon, fresh_daemon
from tests.system.package import installed, package, wheels
from tests.system.systemd_container import container

__all__ = ["container", "daemon", "fresh_daemon", "installed", "package", "wheels"]
