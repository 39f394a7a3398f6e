"""A real keeper process for tests: started with what a store gives back, known to be ready, and killed."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.unit.keeper.parties import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.unit.keeper.parties import Manager

DAEMON_FOLDER = Path(__file__).parents[3] / "daemon"
KEEP = "import os, sys; from socketd.keeper import keep; sys.exit(keep(sys.argv[1], os.environ))"
# Puts what it inherited where LISTEN_FDS says, between fork and exec as a service manager does.
LAUNCH = """
import os, sys
names, fds = sys.argv[1], [int(fd) for fd in sys.argv[2].split(",")]
away = [os.dup2(fd, 200 + index, inheritable=False) for index, fd in enumerate(fds)]
for index, fd in enumerate(away):
    os.dup2(fd, 3 + index)
os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names, LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[3:]])
"""


class KeeperProcess:
    """One keeper at a time, at one path.

    Attributes:
        path: Where daemons connect.
    """

    def __init__(self, folder: Path, manager: Manager, capacity: int = 0, limit: int | None = None) -> None:
        self.path = str(folder / "run" / "k.sock")
        self._manager = manager
        self._log = folder / "log"
        self._capacity = capacity
        self._limit = limit
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, stored: Sequence[tuple[str, int]] = ()) -> None:
        """Start it, also again, with what a store gives back; wait until it is ready."""
        self.process = self.launch(stored)
        self._manager.read_until("READY=1")

    def launch(self, stored: Sequence[tuple[str, int]] = ()) -> subprocess.Popen[bytes]:
        """Start it and wait for nothing."""
        command = [sys.executable, "-c", KEEP, self.path]
        if stored:
            names, fds = ":".join(name for name, _ in stored), ",".join(str(fd) for _, fd in stored)
            command = [sys.executable, "-c", LAUNCH, names, fds, KEEP, self.path]
        environ = {
            "PYTHONPATH": str(DAEMON_FOLDER),
            "PATH": os.environ["PATH"],
            "NOTIFY_SOCKET": self._manager.path,
            "FDSTORE": str(self._capacity),
        }
        with self._log.open("ab") as log:
            process = subprocess.Popen(command, env=environ, stderr=log, pass_fds=[fd for _, fd in stored])
        if self._limit is not None:  # before it has come as far as to raise its own
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (self._limit, self._limit))
        return process

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Send it a signal and return its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    @property
    def log(self) -> str:
        """All it has written."""
        return self._log.read_text()

    def resident_bytes(self) -> int:
        """Return what it needs of memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024


@contextmanager
def keeping(
    folder: Path, manager: Manager, capacity: int = 0, limit: int | None = None
) -> Iterator[KeeperProcess]:
    keeper = KeeperProcess(folder, manager, capacity, limit)
    try:
        keeper.start()
        yield keeper
    finally:
        if keeper.process is not None:
            keeper.kill()


def from_store(manager, count):
    """Wait until so many sockets and the notes are stored; return them as LISTEN_FDS would."""
    while len(manager.stored) < count + 1:
        manager.read()
    return [(name, fd) for name, fds in manager.stored.items() for fd in fds]
