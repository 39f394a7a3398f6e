"""One ``socketd run`` with the processes it looks after, for tests that end some of them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from socketd.runtime.keeping.heir import NAME as HEIR
from tests.daemon_process import STOP_S, child_environment
from tests.system.place import Place, await_true

if TYPE_CHECKING:
    from collections.abc import Mapping

PROCESSES = ("keeper", "master", "worker")
COMMANDS = {b"keep": "keeper", b"serve": "master"}


class Supervised:
    """A supervisor, its keeper, its daemon's master and the worker that holds the sockets.

    Args:
        folder: Where all of its files go; short, since sun_path is.
        flags: Given after ``run``, and those of the paths.
        environ: Added to the environment; ``None`` removes a variable.
    """

    kept = "supervisor"

    def __init__(self, folder: Path, *flags: str, environ: Mapping[str, str | None] | None = None) -> None:
        self.place = Place(str(folder / "api.sock"), folder, str(folder))
        self._log = folder / "log"
        paths = {"--listen": self.place.api, "--keeper": str(folder / "keeper.sock")}
        paths["--state-directory"] = str(folder / "state")
        command = [sys.executable, "-m", "socketd", "run", *(word for pair in paths.items() for word in pair)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *flags],
                env=child_environment(environ or {}),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        """Everything that any of them wrote."""
        return self._log.read_text()

    def processes(self) -> dict[str, int]:
        """Return those that live, by what they are."""
        found: dict[str, int] = {}
        for pid in children(self.process.pid):
            for word in () if is_heir(pid) else arguments(pid):
                if word in COMMANDS:
                    found[COMMANDS[word]] = pid
        if "master" in found:
            # For a moment an orphaned worker looks like a master, and its heir like its worker.
            found.update(("worker", pid) for pid in children(found["master"]) if not is_heir(pid))
        return found

    def signal(self, number: signal.Signals, *names: str) -> None:
        """Send a signal to some of them, one right after the other; who is killed is dead afterwards."""
        with ExitStack() as opened:
            watches = [self._watch(name) for name in names]
            for watch in watches:
                opened.callback(os.close, watch)
            for watch in watches:
                # A worker whose master was killed right before may be through with its own end.
                with suppress(ProcessLookupError) if watch != watches[0] else nullcontext():
                    signal.pidfd_send_signal(watch, number)
            for watch in watches if number == signal.SIGKILL else ():
                assert select.select([watch], [], [], STOP_S)[0]

    def _watch(self, name: str) -> int:
        """Open a process of ours; the one that was there a moment ago may have been replaced."""
        deadline = time.monotonic() + STOP_S
        while True:
            try:
                return os.pidfd_open(self.processes()[name])
            except (KeyError, ProcessLookupError):
                assert time.monotonic() < deadline, self.log

    def open_count(self, pid: int) -> int:
        """Count the descriptors of a process."""
        return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - thousands, again and again

    def await_up(self) -> None:
        """Block until it serves, with a keeper."""
        await_true(self._is_up, lambda: f"it does not serve:\n{self.log}")

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.log
        service = self.place.look("/v1/")
        return service is not None and service["keeper"] == "up"

    def stop(self) -> None:
        """Stop it as Ctrl-C does, and check that it ended well and left no process."""
        before = self.processes()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(STOP_S) == 0, self.log
        assert "Traceback" not in self.log, self.log
        left = [name for name, pid in before.items() if Path(f"/proc/{pid}").exists()]
        assert not left, f"{left} still run:\n{self.log}"

    def kill(self) -> None:
        """End it, however it is, and its processes; harmless when it has ended."""
        if self.process.poll() is None:
            ours = self.processes()
            self.process.kill()
            self.process.wait()
            for pid in ours.values():
                end(pid)


def children(pid: int) -> list[int]:
    """List the processes that a process's main thread has started and that still are; none if it is gone."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def arguments(pid: int) -> list[bytes]:
    """Read a command line; of a process that is gone there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_heir(pid: int) -> bool:
    """Whether it is a worker's heir, which ends by itself when the worker has died."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == HEIR
    except (FileNotFoundError, ProcessLookupError):
        return False


def end(pid: int) -> None:
    """Kill a process that may be ending by itself: it was told to when its parent died."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
