"""A socketd that systemd looks after, in a machine of its own, for tests that end some of its processes."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.system.place import Place, await_true

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.systemd_container import Container

DAEMON = "socketd.service"
KEEPER = "socketd-keeper.service"
RUNTIME = "/run/socketd"  # the folder that both the daemon and a visitor can reach


class Machine:
    """The keeper, the daemon's master and its worker, as the container numbers them.

    Args:
        container: Has socketd installed, and runs it.
    """

    kept = "systemd"

    def __init__(self, container: Container) -> None:
        self.container = container
        api = str(container.path(f"{RUNTIME}/api.sock"))
        self.place = Place(api, container.path(RUNTIME), RUNTIME, container.network)

    @property
    def log(self) -> str:
        """What both have logged since the boot."""
        return self.container.journal(KEEPER) + self.container.journal(DAEMON)

    def processes(self) -> dict[str, int]:
        """Return those that live, by what they are."""
        command = ["systemctl", "show", "--property=MainPID", "--value", KEEPER, DAEMON]
        keeper, master = (int(word) for word in self.container.exec(command).stdout.split())
        found = {"keeper": keeper, "master": master}
        with suppress(FileNotFoundError, ProcessLookupError):
            children = self._proc(master, f"task/{master}/children").read_text().split()
            found.update(("worker", int(child)) for child in children)
        return {name: pid for name, pid in found.items() if pid}

    def signal(self, number: signal.Signals, *names: str) -> None:
        """Send a signal to some of them, one right after the other; who is killed is dead afterwards."""
        now = self.processes()
        pids = [now[name] for name in names]
        self.container.exec(["kill", "-s", number.name[3:], *map(str, pids)])
        if number == signal.SIGKILL:
            gone = lambda: not any(self._proc(pid, "stat").exists() for pid in pids)  # noqa: E731
            await_true(gone, lambda: f"{pids} do not die:\n{self.log}")

    def open_count(self, pid: int) -> int:
        """Count the descriptors of a process."""
        return len(os.listdir(self._proc(pid, "fd")))  # noqa: PTH208 - thousands, again and again

    def systemctl(self, *words: str) -> None:
        """Have systemd do something, and wait until it is done."""
        self.container.exec(["systemctl", *words])

    def await_up(self) -> None:
        """Block until it serves, with a keeper."""
        await_true(lambda: (self.place.look("/v1/") or {}).get("keeper") == "up", lambda: self.log)

    def _proc(self, pid: int, file: str) -> Path:
        return self.container.path(f"/proc/{pid}/{file}")
