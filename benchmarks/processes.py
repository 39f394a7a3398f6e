"""Servers under test: started on a Unix socket in a folder of their own, and ended by their process id."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from wire import Wire, request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

START_S: Final = 60.0
STOP_S: Final = 60.0
_PAUSE_S: Final = 0.002
_HERE: Final = Path(__file__).parent
_OURS: Final = ("SOCKETD_", "LISTEN_", "NOTIFY_", "WATCHDOG_", "GUNICORN_", "WEB_CONCURRENCY")


class Server:
    """A process that answers HTTP on ``path``; its folder goes with it.

    Args:
        command: Its arguments after ``python``; ``{path}`` stands for the Unix socket.
        probe: What it answers with 200 as soon as it serves.
    """

    def __init__(self, command: Sequence[str], probe: str = "/") -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="socketd-bench-")
        self.path = f"{self._folder.name}/api.sock"
        self.log = Path(self._folder.name, "log")
        self._probe = request("GET", probe)
        started = time.perf_counter()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *(word.replace("{path}", self.path) for word in command)],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self.start_s = self._await_answer() - started
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> float:
        """End it as systemd would; gives the seconds that took."""
        started = time.perf_counter()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        took = time.perf_counter() - started
        self._folder.cleanup()
        return took

    def wire(self) -> Wire:
        """Connect to it."""
        return Wire(self.path)

    def _await_answer(self) -> float:
        deadline = time.perf_counter() + START_S
        while time.perf_counter() < deadline and self.process.poll() is None:
            try:
                with self.wire() as wire:
                    wire.ask(self._probe)
                return time.perf_counter()
            except OSError:  # it does not listen yet
                time.sleep(_PAUSE_S)
        raise RuntimeError(f"{self.process.args!r} does not serve:\n{self.log.read_text()}")


class Daemon(Server):
    """A socketd with the settings it has by default, and no number that rests between rounds."""

    def __init__(self, *flags: str) -> None:
        command = ("-m", "socketd", "serve", "--listen", "{path}", "--number-rest-s", "0", *flags)
        super().__init__(command, "/healthz")

    def worker_pid(self) -> int:
        """Return the process that holds the sockets; ``process.pid`` is gunicorn's master."""
        with self.wire() as wire:
            return int(wire.ask(request("GET", "/v1/process")).json()["pid"])


def wsgi_server(application: str, worker: str) -> Server:
    """Start gunicorn with one worker of that class and what the daemon sets, so that nothing else differs."""
    options = {
        "bind": "unix:{path}",
        "chdir": str(_HERE),
        "workers": "1",
        "worker-class": worker,
        "threads": "8",
        "worker-connections": "40000",
        "keep-alive": "300",
        "backlog": "4096",
        "log-level": "warning",
    }
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    return Server(("-m", "gunicorn", *flags, "--no-control-socket", application))


def resident_bytes(pid: int) -> int:
    """Read how much memory a process has for itself: PSS where the kernel tells it, else RSS."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        text = Path(f"/proc/{pid}/status").read_text().replace("VmRSS:", "Pss:")
    return int(text.partition("\nPss:")[2].split()[0]) * 1024


def _environment() -> Mapping[str, str]:
    """Give ours without what would configure a server."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
