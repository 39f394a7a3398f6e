"""``socketctl run`` under a service manager: what it is told, and what reaches it."""

from __future__ import annotations

import signal
import socket
import time

import pytest

from tests.socketctl_process import PATIENCE_S
from tests.system.run_programs import running, serving


@pytest.fixture
def manager(tmp_path):
    """The socket of a service manager that reads what sd_notify sends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_S)
        sock.bind(str(tmp_path / "manager"))
        yield sock


def notified(manager, wanted):
    """Return the lines of the first message that has one beginning with ``wanted``."""
    while True:
        lines = manager.recv(8192).decode().splitlines()
        if any(line.startswith(wanted) for line in lines):
            return lines


def test_a_service_manager_is_told_of_start_reload_and_stop_and_never_of_another_main_pid(
    daemon, tmp_path, manager
):
    extra = {"NOTIFY_SOCKET": str(tmp_path / "manager")}
    with running(daemon, tmp_path, ("--notify",), serving(tmp_path), extra=extra) as run:
        said = notified(manager, "READY=1")
        begun = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        run.send(signal.SIGHUP)
        reloading = dict(line.split("=", 1) for line in notified(manager, "RELOADING=1"))
        assert int(reloading["MONOTONIC_USEC"]) >= begun
        said += notified(manager, "READY=1")
        run.send(signal.SIGTERM)
        said += notified(manager, "STOPPING=1")
        assert run.wait() == 0
    assert not [line for line in said if line.startswith("MAINPID")]


def test_a_service_manager_is_told_ready_after_a_reload_that_failed(daemon, tmp_path, manager):
    extra = {"NOTIFY_SOCKET": str(tmp_path / "manager")}
    with running(daemon, tmp_path, ("--notify",), serving(tmp_path), extra=extra) as run:
        notified(manager, "READY=1")
        (tmp_path / "mode").write_text("fail")
        run.send(signal.SIGHUP)
        notified(manager, "RELOADING=1")
        assert any("Reload failed" in line for line in notified(manager, "READY=1"))


def test_the_programs_watchdog_reaches_the_service_manager(daemon, tmp_path, manager):
    words = serving(tmp_path)
    extra = {"NOTIFY_SOCKET": str(tmp_path / "manager")}
    ping = (
        "import os, socket; out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
        "out.connect('\\0' + os.environ['NOTIFY_SOCKET'][1:]); out.send(b'READY=1');"
        "[(out.send(b'WATCHDOG=1'), __import__('time').sleep(0.05)) for _ in iter(int, 1)]"
    )
    with running(daemon, tmp_path, ("--notify",), (words[0], "-c", ping), extra=extra):
        notified(manager, "WATCHDOG=1")
