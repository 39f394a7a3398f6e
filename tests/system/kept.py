"""What tests of a daemon and its keeper share: both processes, and how to look at what they hold."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.daemon_process import STOP_S
from tests.keeper_process import KeeperProcess
from tests.system.place import Place, await_true

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.daemon_process import DaemonProcess

LOOPBACK = {"host": "127.0.0.1", "port": 0}
LISTENER = {"bind": LOOPBACK, "listen": {"backlog": 16}}
SAME = ("fd", "name", "inode", "cookie", "owner", "created_at", "state", "local")


@pytest.fixture
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeeperProcess]:
    """A keeper that listens."""
    process = KeeperProcess(tmp_path_factory.mktemp("keeper"))
    try:
        process.start()
        yield process
    finally:
        process.stop()


@pytest.fixture
def kept_daemon(keeper: KeeperProcess, fresh_daemon: Callable[..., DaemonProcess]) -> DaemonProcess:
    """A daemon that has it."""
    return fresh_daemon("--keeper", keeper.path)


def place_of(daemon: DaemonProcess, folder: Path) -> Place:
    """Return how its API is asked."""
    return Place(daemon.socket_path, folder, str(folder))


def end(pid: int, number: signal.Signals) -> None:
    """Send a signal, and wait until the process is gone."""
    watch = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(watch, number)
        assert select.select([watch], [], [], STOP_S)[0]
    finally:
        os.close(watch)


def kill_worker(daemon: DaemonProcess) -> None:
    """Kill what holds the sockets; return when its successor answers."""
    before = daemon.pid
    end(before, signal.SIGKILL)
    await_true(lambda: pid_or_none(daemon) not in {None, before}, lambda: daemon.log)


def pid_or_none(daemon: DaemonProcess) -> int | None:
    """Return who answers, if somebody does."""
    with suppress(OSError, ValueError, KeyError):
        return daemon.pid
    return None


def create(daemon: DaemonProcess, headers: dict[str, str] | None = None, **body: Any) -> Any:
    """Make a socket."""
    answer = daemon.request("POST", "/v1/sockets", body, headers)
    assert answer.status == 201, answer.body
    return answer.json()


def get(daemon: DaemonProcess, reference: object) -> Any:
    """Look at a socket."""
    answer = daemon.request("GET", f"/v1/sockets/{reference}")
    assert answer.status == 200, answer.body
    return answer.json()


def same(before: Any, after: Any) -> None:
    """Fail unless it is the same socket under the same number and name."""
    assert {key: after[key] for key in SAME} == {key: before[key] for key in SAME}


def is_kept(daemon: DaemonProcess, reference: object) -> bool:
    """Whether the keeper has a copy."""
    return bool(get(daemon, reference)["kept"] == "keeper")


def address(made: Any) -> tuple[str, int]:
    """Return where it is bound."""
    return made["local"]["host"], made["local"]["port"]
