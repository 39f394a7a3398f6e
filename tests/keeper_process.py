"""A real keeper process for tests, that can be killed and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.daemon_process import STOP_S, child_environment
from tests.system.place import await_true


class KeeperProcess:
    """One ``python -m socketd keep`` after the other, at the same path.

    Args:
        folder: Where its socket and its log go; short, since sun_path is.
    """

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "keeper.sock")
        self._log_path = folder / "keeper.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; return when it listens."""
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "socketd", "keep", "--keeper", self.path],
                env=child_environment({}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        await_true(self._listens, lambda: self.log)

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        """Everything it wrote."""
        return self._log_path.read_text()

    def held(self) -> int:
        """Return how many sockets it has open, its own ones included."""
        held = 0
        for each in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                held += str(each.readlink()).startswith("socket:")
        return held

    def kill(self) -> None:
        """End it as an out-of-memory killer does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(STOP_S)

    def stop(self) -> None:
        """End it, if it is there, and check that it did nothing it should not."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(STOP_S) == 0, self.log
        assert "Traceback" not in self.log, self.log

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            return probe.connect_ex(self.path) == 0
