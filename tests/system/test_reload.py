"""A daemon that runs: how it says how it goes, and how it reads its configuration anew."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.kept import create, keeper, kept_daemon, kill_worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon_process import DaemonProcess

__all__ = ["keeper", "kept_daemon"]  # fixtures


def test_status_says_how_it_goes(kept_daemon):
    serving = f"STATUS=serving {kept_daemon.url}"
    create(kept_daemon)
    kept_daemon.await_notification(f"{serving}: 1 sockets held, 0 calls waiting, keeper up")


def configure(file: Path, **keys: Any) -> None:
    """Write a configuration file."""
    file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in keys.items()))


@pytest.fixture
def configured(fresh_daemon, tmp_path) -> tuple[DaemonProcess, Path]:
    """A daemon with a configuration file."""
    file = tmp_path / "socketd.toml"
    configure(file, max_timeout_s=100.0)
    return fresh_daemon("--config", str(file)), file


def test_reload_puts_in_force_what_can_be(configured):
    daemon, file = configured
    pid = daemon.pid
    configure(file, max_timeout_s=50.0, max_waits=7, log_level="debug", max_connections=77)
    daemon.process.send_signal(signal.SIGHUP)
    assert int(daemon.await_notification("RELOADING=1")["MONOTONIC_USEC"]) > 0
    daemon.await_notification("READY=1")
    limits = daemon.request("GET", "/v1/").json()["limits"]
    assert (limits["timeout_s"], limits["waits"]) == (50.0, 7)
    assert "reloaded: max_timeout_s, max_waits, log_level changed" in daemon.log
    assert "not in force before a restart: max_connections" in daemon.log
    assert daemon.pid == pid


def test_broken_configuration_changes_nothing_and_is_said(configured):
    daemon, file = configured
    file.write_text("max_timeout_s = -1\n")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.await_notification("RELOADING=1")
    assert f"; not reloaded: {file}: max_timeout_s" in daemon.await_notification("READY=1")["STATUS"]
    assert daemon.request("GET", "/v1/").json()["limits"]["timeout_s"] == 100.0
    assert "not reloaded, everything is as it was" in daemon.log
    configure(file, max_timeout_s=60.0)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.await_notification("RELOADING=1")
    assert "not reloaded" not in daemon.await_notification("READY=1")["STATUS"]
    assert daemon.request("GET", "/v1/").json()["limits"]["timeout_s"] == 60.0


def test_next_worker_begins_with_what_was_reloaded(configured):
    daemon, file = configured
    configure(file, max_timeout_s=50.0)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.await_notification("RELOADING=1")
    kill_worker(daemon)
    assert daemon.request("GET", "/v1/").json()["limits"]["timeout_s"] == 50.0
