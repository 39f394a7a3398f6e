"""A supervisor in a process of its own, whose keeper and daemon are ``tests/stand_in.py``."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.daemon_process import child_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

WAIT_S = 30.0  # bounds of what takes milliseconds, on a machine that does much else
STAND_IN = str(Path(__file__).with_name("stand_in.py"))

# What `socketd run` does, with other programs and other patience.
LAUNCHER = """
import json, os, signal, socket, sys
from socketd.runtime import logs
from socketd.runtime.supervising.child import Child, Patience
from socketd.runtime.supervising.prctl import adopt_orphans
from socketd.runtime.supervising.processes import Program
from socketd.runtime.supervising.signals import SignalPipe
from socketd.runtime.supervising.store import DescriptorStore
from socketd.runtime.supervising.supervisor import Outside, Supervisor
from socketd.runtime.supervising.terminal import Terminal
from socketd.runtime.systemd import Notifier

options = json.loads(sys.argv[1])
logs.set_up("debug")
notifier = Notifier.from_environ(os.environ)
listener = socket.socket(socket.AF_UNIX)
listener.bind(options["api"])
listener.listen(64)

def child(name, death_signal, descriptors):
    command = options.get(name, [sys.executable, "-S", options["stand_in"], options["control"], name])
    program = Program(name, tuple(command), dict(os.environ), death_signal)
    return Child(program, Patience(**options["patience"]), descriptors)

with SignalPipe() as signals:
    adopt_orphans()
    store = DescriptorStore(options["capacity"])
    keeper = child("keeper", signal.SIGTERM, store.listing)
    daemon = child("daemon", signal.SIGQUIT, lambda: [("api", listener.fileno())])
    outside = Outside(signals, Terminal(), notifier, lambda: print("on_serving", flush=True))
    sys.exit(Supervisor(keeper, daemon, store, outside).run())
"""


class ChildOfIt:
    """The test's end of one stand-in; what it is told is done when the method returns."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        control.settimeout(WAIT_S)
        self._heard: list[Any] = []
        hello = self.hear()
        self.name: str = hello["name"]
        self.pid: int = hello["pid"]
        self.environ: Mapping[str, str] = hello["environ"]

    def hear(self) -> Any:
        """Return the next thing it says by itself."""
        return self._heard.pop(0) if self._heard else self._receive()

    def do(self, command: str, *arguments: str) -> Any:
        """Have it do something; return what came of it."""
        self._control.send(json.dumps([command, *arguments]).encode())
        while "done" not in (said := self._receive()):
            self._heard.append(said)  # a signal came in between
        return said["done"]

    def _receive(self) -> Any:
        return json.loads(self._control.recv(65536))

    def ready(self) -> None:
        """Have it say that it is."""
        self.do("say", "READY=1")

    def exit(self, status: int = 0) -> None:
        """Have it end, and see that it did."""
        self._control.send(json.dumps(["exit", str(status)]).encode())
        self.await_end()

    def kill(self) -> None:
        """End it as the kernel does when memory is short."""
        os.kill(self.pid, signal.SIGKILL)
        self.await_end()

    def await_end(self) -> None:
        """Block until its process has ended."""
        with suppress(ConnectionResetError):  # it had not read all that we sent
            assert self._control.recv(1) == b""

    def close(self) -> None:
        """Hang up."""
        self._control.close()


class SupervisorProcess:
    """A supervisor with two stand-ins; its own manager is the test.

    Args:
        folder: For its sockets and its log.
        environ: Added to its environment.
        options: ``capacity``, ``start_s``, ``watchdog_s``, ``stop_s``; commands in the place of stand-ins.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None, **options: Any) -> None:
        self.api_path = str(folder / "api")
        self._log_path = folder / "log"
        self._children: list[ChildOfIt] = []
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._control.bind(str(folder / "control"))
            self._control.listen()
            self._control.settimeout(WAIT_S)
            self._manager.bind(str(folder / "manager"))
            self._manager.settimeout(WAIT_S)
            patience = {key: options.pop(key, WAIT_S) for key in ("start_s", "watchdog_s", "stop_s")}
            given = {
                "control": str(folder / "control"),
                "api": self.api_path,
                "stand_in": STAND_IN,
                "capacity": 8,
            }
            given |= {"patience": patience, **options}
            with self._log_path.open("wb") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-c", LAUNCHER, json.dumps(given)],
                    env=child_environment({"NOTIFY_SOCKET": str(folder / "manager"), **(environ or {})}),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except BaseException:
            self._control.close()
            self._manager.close()
            raise

    def next(self, name: str) -> ChildOfIt:
        """Return the next child to be started, which is to be of this name."""
        try:
            connection, _ = self._control.accept()
        except TimeoutError:
            raise AssertionError(f"no {name} was started; its log:\n{self.log}") from None
        child = ChildOfIt(connection)
        self._children.append(child)
        assert child.name == name
        return child

    def both(self) -> tuple[ChildOfIt, ChildOfIt]:
        """Return keeper and daemon, ready."""
        keeper = self.next("keeper")
        keeper.ready()
        daemon = self.next("daemon")
        daemon.ready()
        self.await_notification("READY=1")
        return keeper, daemon

    def is_starting_one(self) -> bool:
        """Whether a child has come that ``next`` has not returned."""
        return bool(select.select([self._control], [], [], 0)[0])

    def await_notification(self, wanted: str) -> str:
        """Return the next message to its manager in which ``wanted`` is."""
        for _ in range(1000):
            text = self._manager.recv(65536).decode()
            if wanted in text:
                return text
        raise AssertionError(f"no {wanted}")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    @property
    def log(self) -> str:
        """What it wrote."""
        return self._log_path.read_text()

    def await_log(self, wanted: str) -> None:
        """Block until it has written something."""
        deadline = time.monotonic() + WAIT_S
        while wanted not in self.log:
            assert time.monotonic() < deadline, f"no {wanted!r} in:\n{self.log}"
            select.select([], [], [], 0.01)  # a file cannot be polled: look again

    def await_end(self) -> int:
        """Return its exit status."""
        status = self.process.wait(WAIT_S)
        assert "Traceback" not in self.log, self.log
        return status

    def close(self) -> None:
        """End it and its children, however they are."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for child in self._children:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # what a failed test has left of its group
            child.close()
        self._control.close()
        self._manager.close()


def await_gone(pid: int) -> None:
    """Block until no process has this id, or one that is dead already and waits to be reaped."""
    deadline = time.monotonic() + WAIT_S
    while is_alive(pid):
        assert time.monotonic() < deadline, f"{pid} is still there"
        select.select([], [], [], 0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs, or could."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
