"""``socketctl`` as a process, and clients that connect steadily while what serves them is replaced."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.daemon_process import BROUGHT_ALONG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.daemon_process import DaemonProcess

SOCKETCTL = (sys.executable, "-m", "socketd_client.cli")
REQUEST = b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"
PATIENCE_S = 60.0  # bounds of what takes tenths of a second, on a machine that does much else
PAUSE_S = 0.005
CLIENT = Path(__file__).parent.parent / "client"


def environment(url: str, extra: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Make the environment of a command that uses the daemon at ``url``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(BROUGHT_ALONG)}
    added = {"SOCKETD_URL": url, "PYTHONPATH": str(CLIENT), "NO_COLOR": "1", **(extra or {})}
    return {**kept, **{name: value for name, value in added.items() if value is not None}}


def socketctl(
    url: str,
    *arguments: str,
    stdin: bytes = b"",
    extra: Mapping[str, str | None] | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    done = subprocess.run(
        [*SOCKETCTL, *arguments],
        input=stdin,
        capture_output=True,
        env=environment(url, extra),
        timeout=PATIENCE_S,
        check=False,
        pass_fds=pass_fds,
    )
    out, err = done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode()
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


class Started:
    """A command that goes on, its output in a file."""

    def __init__(
        self,
        daemon: DaemonProcess,
        folder: Path,
        *arguments: str,
        extra: Mapping[str, str | None] | None = None,
        launcher: Sequence[str] = (),
    ) -> None:
        self._log = folder / f"output{len(list(folder.glob('output*')))}"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*launcher, *SOCKETCTL, *arguments],
                env=environment(daemon.url, extra),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self._log.read_text()

    def await_log(self, wanted: str, times: int = 1) -> None:
        """Block until ``wanted`` was written so many times."""
        await_that(
            lambda: self.log.count(wanted) >= times,
            lambda: f"{times} x {wanted!r} in:\n{self.log}",
        )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Block until it has ended."""
        return self.process.wait(PATIENCE_S)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; return its status."""
        self.process.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        """End it for certain."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def await_that(condition: Callable[[], bool], wanted: Callable[[], str]) -> None:
    """Look again and again until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"did not come about: {wanted()}"
        time.sleep(PAUSE_S)


def ask(address: tuple[str, int], request: bytes = REQUEST) -> bytes:
    """Connect, send a request, and read the answer to its end."""
    with socket.create_connection(address, PATIENCE_S) as sock:
        sock.sendall(request)
        answer = bytearray()
        while piece := sock.recv(65536):
            answer += piece
        return bytes(answer)


class Load:
    """Clients that connect, ask, and connect again; what failed, and the longest stall."""

    def __init__(self, address: tuple[str, int], expected: bytes) -> None:
        self._address = address
        self._expected = expected
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._go_on) for _ in range(4)]
        self.failures: list[str] = []
        self.answers: list[bytes] = []
        self.longest_s = 0.0

    def _go_on(self) -> None:
        while not self._is_over.wait(PAUSE_S):
            begun = time.monotonic()
            try:
                answer = ask(self._address)
            except OSError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                continue
            if self._expected not in answer:
                self.failures.append(f"cut short: {answer[-80:]!r}")
            self.answers.append(answer)
            self.longest_s = max(self.longest_s, time.monotonic() - begun)

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, with every answer that is still to come."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def await_answers(self, more: int = 1) -> None:
        """Block until so many more answers have come."""
        until = len(self.answers) + more
        await_that(
            lambda: len(self.answers) >= until, lambda: f"{more} answers; failures: {self.failures[:3]}"
        )


@contextmanager
def load(address: tuple[str, int], expected: bytes) -> Iterator[Load]:
    """Keep clients connecting while the body runs."""
    clients = Load(address, expected)
    clients.start()
    try:
        yield clients
    finally:
        clients.stop()
