"""systemd's protocols as they are on the wire; whole activations are in tests/system."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

import pytest

from socketd.runtime.config import ConfigError
from socketd.runtime.systemd import Notifier, take_listeners

if TYPE_CHECKING:
    from collections.abc import Iterator

US = str(os.getpid())


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path) -> Iterator[tuple[str, socket.socket]]:
    """The socket of a service manager, and what NOTIFY_SOCKET says of it."""
    address = f"@socketd-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0"))
        manager.settimeout(10)
        yield address, manager


def test_notifier_takes_its_variables_away():
    environ = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": US, "PATH": "/bin"}
    notifier = Notifier.from_environ(environ)
    assert environ == {"PATH": "/bin"}
    assert notifier == Notifier("/x", os.getpid(), 2.0)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"},
    ],
)
def test_watchdog_of_nobody_or_of_another_process_is_none(environ):
    assert Notifier.from_environ(environ).watchdog_s is None


def test_ready_names_the_main_process(manager):
    address, channel = manager
    Notifier(address, 42).ready("serving unix:///x")
    assert channel.recv(1024) == b"READY=1\nMAINPID=42\nSTATUS=serving unix:///x\n"


def test_reload_is_told_with_its_time_which_only_rises(manager):
    address, channel = manager
    times = []
    for _ in range(2):
        Notifier(address, 42).reloading()
        first, second = channel.recv(1024).decode().splitlines()
        assert first == "RELOADING=1"
        times.append(int(second.removeprefix("MONOTONIC_USEC=")))
    assert times[0] <= times[1] <= time.monotonic() * 1_000_000


def test_status_is_told_by_itself(manager):
    address, channel = manager
    Notifier(address, 42).status("12 sockets held")
    assert channel.recv(1024) == b"STATUS=12 sockets held\n"


def test_watchdog_is_told_only_if_it_asked(manager):
    address, channel = manager
    Notifier(address, 42).alive()
    Notifier(address, 42, 1.0).alive()
    Notifier(address, 42).stopping()
    assert channel.recv(1024) == b"WATCHDOG=1\n"
    assert channel.recv(1024).startswith(b"STOPPING=1\n")


def test_manager_that_is_gone_stops_nobody(tmp_path):
    Notifier(str(tmp_path / "gone"), 42).ready("serving")


def test_manager_that_does_not_read_blocks_nobody(manager):
    notifier = Notifier(manager[0], 42)
    for _ in range(1000):  # net.unix.max_dgram_qlen is 10 to 512
        notifier.ready("serving")


def test_nobody_listening_is_told_nothing():
    Notifier(None, 42).ready("serving")


def test_without_activation_nothing_is_taken():
    assert take_listeners({}) == []


def test_activation_meant_for_another_process_is_not_taken_but_forgotten():
    environ = {"LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "api"}
    assert take_listeners(environ) == []
    assert environ == {}


def test_foreign_descriptor_names_are_refused():
    with pytest.raises(ConfigError, match="descriptor 4 came by LISTEN_FDS as 'web'"):
        take_listeners({"LISTEN_FDS": "2", "LISTEN_PID": US, "LISTEN_FDNAMES": "api:web"})


def test_names_that_do_not_match_the_count_are_refused():
    with pytest.raises(ConfigError, match="LISTEN_FDNAMES has 2 names for LISTEN_FDS=1"):
        take_listeners({"LISTEN_FDS": "1", "LISTEN_PID": US, "LISTEN_FDNAMES": "api:api"})
