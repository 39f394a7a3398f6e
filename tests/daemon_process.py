"""A real daemon process for tests: started, known to be ready, asked, and stopped without a trace."""

from __future__ import annotations

import http.client
import json
import math
import os
import select
import socket
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import socketd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

START_S = 60.0  # bounds of what takes tenths of a second, on a machine that does much else
STOP_S = 30.0
_TIMEVAL = struct.Struct("ll")
BROUGHT_ALONG = (
    "SOCKETD_",
    "LISTEN_",
    "NOTIFY_",
    "WATCHDOG_",
    "XDG_RUNTIME_DIR",
    "RUNTIME_DIRECTORY",
    "XDG_STATE_HOME",
    "STATE_DIRECTORY",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)


def connected(path: str, timeout_s: float) -> socket.socket:
    """Return a connection to a Unix socket, also when its backlog is full at first."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # With a timeout of Python's, a full backlog is EAGAIN at once (unix(7)).
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(math.ceil(timeout_s), 0))
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    sock.settimeout(timeout_s)
    return sock


class UnixConnection(http.client.HTTPConnection):
    """``http.client`` over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the path, not to the host."""
        self.sock = connected(self._path, self.timeout)


class DaemonProcess:
    """One ``python -m socketd serve``.

    Args:
        folder: Where its socket, its log and its notifications go; short, since sun_path is.
        flags: Given after ``serve``; ``--listen`` is given already.
        environ: Added to the environment; ``None`` removes a variable.
        launcher: A command that runs the daemon's in its place.
        pass_fds: What that command inherits, under the same numbers.
    """

    COMMAND = "serve"

    def __init__(
        self,
        folder: Path,
        flags: Sequence[str] = (),
        environ: Mapping[str, str | None] | None = None,
        *,
        launcher: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.socket_path = str(folder / "api.sock")
        self.url = f"unix://{self.socket_path}"
        nth = len(list(folder.glob("notify*")))  # the second daemon of a folder has these of its own
        self.log_path = folder / f"log{nth}"
        self._notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            notify_path = str(folder / f"notify{nth}")
            self._notifications.bind(notify_path)
            ours = {"NOTIFY_SOCKET": notify_path, "XDG_STATE_HOME": str(folder / "state")}
            command = [
                *launcher,
                sys.executable,
                "-m",
                "socketd",
                self.COMMAND,
                "--listen",
                self.socket_path,
                *flags,
            ]
            with self.log_path.open("wb") as log:
                self.process = subprocess.Popen(
                    command,
                    env=child_environment({**ours, **(environ or {})}),
                    pass_fds=pass_fds,
                    start_new_session=True,  # a process group of its own, for Ctrl-C
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        except BaseException:
            self._notifications.close()
            raise

    def await_notification(self, wanted: str, timeout_s: float = START_S) -> dict[str, str]:
        """Return the first message with ``wanted`` (``"READY=1"``) in it; fail if the process ends before."""
        deadline = time.monotonic() + timeout_s
        pidfd = os.pidfd_open(self.process.pid)
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            poll.register(self._notifications, select.POLLIN)
            while (left := deadline - time.monotonic()) > 0:
                ready = dict(poll.poll(left * 1000))
                if self._notifications.fileno() in ready:
                    lines = self._notifications.recv(65536).decode().splitlines()
                    if wanted in lines:
                        return dict(line.split("=", 1) for line in lines)
                elif ready:
                    break
        finally:
            os.close(pidfd)
        raise AssertionError(f"no {wanted} came; its log:\n{self.log}")

    @property
    def log(self) -> str:
        """Everything it wrote to stdout and stderr."""
        return self.log_path.read_text()

    def await_log(self, wanted: str, timeout_s: float = START_S) -> None:
        """Block until ``wanted`` is in the log."""
        deadline = time.monotonic() + timeout_s
        while wanted not in self.log:
            assert time.monotonic() < deadline, f"no {wanted!r} in:\n{self.log}"
            select.select([], [], [], 0.01)  # a file cannot be polled: look again

    def children(self) -> list[int]:
        """Return the processes that the main process has started and that still are."""
        return [
            int(pid)
            for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    @property
    def pid(self) -> int:
        """The process that holds the sockets: gunicorn's worker, not ``process.pid``."""
        return int(self.request("GET", "/v1/").json()["pid"])

    def descriptors(self) -> dict[int, str]:
        """Return what every descriptor of the daemon points to, the connection that asks included.

        Connections of earlier requests may still be closing: to compare, ask until it is as it should be.
        """
        listing = self.request("GET", "/v1/process/fds", headers={"Accept": "application/json"}).json()
        return {row["fd"]: row["link"] for row in listing["descriptors"]}

    def curl(self, *arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run curl on this daemon; URLs begin with ``http://localhost/``."""
        command = ["curl", "-sS", "--unix-socket", self.socket_path, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)

    def connection(self, timeout_s: float = 60.0) -> UnixConnection:
        """Return a connection that is to be closed by the caller."""
        return UnixConnection(self.socket_path, timeout_s)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout_s: float = 60.0,
    ) -> Answer:
        """Make one request on a connection of its own; a body that is not bytes goes as JSON."""
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = self.connection(timeout_s)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def stop(self) -> str:
        """Stop it as systemd does, and check that it ended well; return its log."""
        self.process.terminate()
        return self.check_end()

    def check_end(self, status: int = 0) -> str:
        """Wait for the end of a daemon that was told to stop; return its log."""
        try:
            assert self.process.wait(STOP_S) == status, self.log
        finally:
            self.kill()
        assert "Traceback" not in self.log, self.log
        return self.log

    def kill(self) -> None:
        """End it, however it is; harmless when it has ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._notifications.close()


def child_environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return ours without what would configure the daemon, with the daemon's package on its path."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(BROUGHT_ALONG)}
    package_folder = str(Path(socketd.__file__).parents[1])
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, [package_folder, environ.get("PYTHONPATH")]))
    for name, value in changes.items():
        if value is None:
            environ.pop(name, None)
        else:
            environ[name] = value
    return environ


@contextmanager
def running_daemon(folder: Path, *flags: str, **more: Any) -> Iterator[DaemonProcess]:
    """Start one that answers; stop it at the end, and check that it ended well."""
    process = DaemonProcess(folder, flags, **more)
    try:
        process.await_notification("READY=1")
        yield process
        if process.process.poll() is None:
            process.stop()
    finally:
        process.kill()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """One daemon for the module's tests; each uses names and sockets of its own."""
    with running_daemon(tmp_path_factory.mktemp("daemon")) as process:
        yield process


@pytest.fixture
def fresh_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., DaemonProcess]]:
    """Start daemons of the test's own: ``fresh_daemon("--tcp", "127.0.0.1:0", environ={"X": "y"})``.

    ``ready=False`` does not wait for it; ``folder`` is where another one was; more is as for DaemonProcess.
    """
    started: list[DaemonProcess] = []

    def start(*flags: str, ready: bool = True, folder: Path | None = None, **more: Any) -> DaemonProcess:
        process = DaemonProcess(folder or tmp_path_factory.mktemp("daemon"), flags, **more)
        started.append(process)
        if ready:
            process.await_notification("READY=1")
        return process

    try:
        yield start
        for process in started:
            if process.process.poll() is None:
                process.stop()
    finally:
        for process in started:
            process.kill()
