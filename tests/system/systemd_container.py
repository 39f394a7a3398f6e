"""A real systemd, booted as PID 1 of namespaces over an overlay of the host's root, for tests."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SCRIPT = Path(__file__).with_name("container.sh")
TOOLS = ("mount", "nsenter", "pivot_root", "setpriv", "systemctl", "timeout", "unshare")
INIT = Path("/lib/systemd/systemd")
PYTHON = "/usr/bin/python3"  # the only one that is there in every container
BOOT_S = 60.0  # takes half a second, on a machine that does nothing else
STOP_S = 20.0
LIFE_S = 1800  # after this a container is killed, whatever became of its test
CLONE_NEWNET = 0x40000000
NAMESPACES = ("mount", "uts", "ipc", "net", "pid", "cgroup")
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
}


class Container:
    """One machine: its own processes, network, cgroups, ``/run``, ``/tmp``, ``/root`` and ``/home``.

    Everything else is the host's, and may be changed: the changes are in memory and end with the container.
    The host's enabled units are not there, nor are its generators and init scripts.

    Args:
        folder: An empty folder of the host, for two small files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cgroup: Path | None = None
        self._machine: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The number of its PID 1, as the host sees it."""
        return int((self._folder / "pid").read_text())

    @property
    def console(self) -> str:
        """What its start and its systemd wrote."""
        return (self._folder / "console").read_text("utf-8", "replace")

    def start(self) -> None:
        """Boot it, and wait until systemd says that everything is up.

        Raises:
            AssertionError: It is not up in time, or a unit has failed.
        """
        (self._folder / "memory").mkdir(exist_ok=True)
        self._cgroup = cgroup_folder() / f"socketd-test-{os.getpid()}-{secrets.token_hex(4)}"
        self._cgroup.mkdir()
        command = ["timeout", "--signal=KILL", str(LIFE_S), "unshare", "--mount", "--propagation", "private"]
        command += ["/bin/sh", str(SCRIPT), "machine", str(self._folder), str(self._cgroup)]
        with (self._folder / "console").open("wb") as console:
            self._machine = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
            )
        try:
            self._await_boot()
        except BaseException:
            self.stop()
            raise

    def _await_boot(self) -> None:
        deadline = time.monotonic() + BOOT_S
        state = "not there"
        while state not in {"running", "degraded"}:
            assert time.monotonic() < deadline, f"systemd is {state}:\n{self.console}"
            assert self._machine is not None
            assert self._machine.poll() is None, f"the container ended:\n{self.console}"
            select.select([], [], [], 0.02)
            if self._is_systemd():
                state = self.exec(["systemctl", "is-system-running", "--wait"], check=False).stdout.strip()
        failed = self.exec(["systemctl", "--failed", "--plain", "--no-legend"]).stdout
        assert state == "running", f"failed at boot:\n{failed}"

    def _is_systemd(self) -> bool:
        """Say whether PID 1 has become systemd; before that, a command would still see the host."""
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            return Path(f"/proc/{self.pid}/exe").readlink().name == "systemd"
        return False

    def exec(
        self,
        argv: Sequence[str],
        input: str | None = None,  # noqa: A002 - as subprocess.run names it
        *,
        check: bool = True,
        timeout: float = 120.0,
        user: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, and return what it wrote.

        Args:
            argv: The command; looked up inside.
            input: Its standard input, empty when left out.
            check: Fail, with what it wrote, when its status is not 0.
            timeout: Seconds until it is killed.
            user: Run as this user with all of its groups, as after a login; root when left out.
            environ: Added to a small environment of its own.
        """
        done = subprocess.run(
            self.command(argv, user=user),
            input=input or "",
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**ENVIRONMENT, **(environ or {})},
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def command(self, argv: Sequence[str], *, user: str | None = None) -> list[str]:
        """Return the command of the host that runs ``argv`` inside, for a ``Popen`` of one's own.

        Killing it kills what it runs.
        """
        spaces = [f"--{kind}" for kind in NAMESPACES]
        entry = ["nsenter", f"--target={self.pid}", *spaces, "--root", "--wd", "--"]
        entry += ["setpriv", "--pdeathsig=KILL"]
        if user is not None:
            entry += [f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return [*entry, "--", *argv]

    @contextlib.contextmanager
    def running(self, argv: Sequence[str], *, user: str | None = None) -> Iterator[subprocess.Popen[str]]:
        """Run a command inside, with pipes for its input and output; killed at the end of the block."""
        command = self.command(argv, user=user)
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=ENVIRONMENT, stdin=pipe, stdout=pipe, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def path(self, inside: str) -> Path:
        """Return where the host sees a file of the container; Unix sockets can be connected to there."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def put(self, host_path: Path, inside: str) -> None:
        """Copy a file or a folder into it."""
        target = self.path(inside)
        target.parent.mkdir(parents=True, exist_ok=True)
        if host_path.is_dir():
            shutil.copytree(host_path, target, dirs_exist_ok=True)
        else:
            shutil.copy(host_path, target)

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Make the calling thread's new sockets in the container's network; they stay there afterwards."""
        with Path("/proc/thread-self/ns/net").open("rb") as ours, self._namespace("net").open("rb") as its:
            enter_network(its.fileno())
            try:
                yield
            finally:
                enter_network(ours.fileno())

    def _namespace(self, kind: str) -> Path:
        return Path(f"/proc/{self.pid}/ns/{kind}")

    def journal(self, unit: str) -> str:
        """Return what a unit has logged since the boot."""
        command = ["journalctl", "--boot", "--no-pager", "--output=short-precise", f"--unit={unit}"]
        return self.exec(command).stdout

    def show(self, unit: str, name: str) -> str:
        """Return one property of a unit, such as ``show("socketd.service", "MainPID")``."""
        return self.exec(["systemctl", "show", f"--property={name}", "--value", unit]).stdout.strip()

    def reboot(self) -> None:
        """Switch it off and on: every process, ``/run`` and ``/tmp`` go, the other files stay.

        Commands of ``command`` must have ended: systemd stops them (SIGSTOP) before it kills them, nsenter
        then stops itself too, and a namespace does not end while nobody waits for a process of it.
        """
        before = self.pid
        self.exec(["systemctl", "reboot"], check=False)
        deadline = time.monotonic() + BOOT_S
        while self.pid == before:
            assert time.monotonic() < deadline, f"no reboot:\n{self.console}"
            select.select([], [], [], 0.02)
        self._await_boot()

    def stop(self) -> None:
        """Cut its power, and remove what is left of it; harmless when it is off.

        Commands that still run inside die with it.
        """
        if self._machine is None or self._cgroup is None:
            return
        (self._cgroup / "cgroup.kill").write_text("1")
        self._machine.wait()
        remove_cgroup(self._cgroup)
        self._machine = self._cgroup = None


def enter_network(namespace: int) -> None:
    """Move the calling thread, and no other, to a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:  # os.setns came with Python 3.12
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def cgroup_folder() -> Path:
    """Return where the host's cgroup2 tree is mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(folder)
    raise FileNotFoundError("no cgroup2 is mounted")


def remove_cgroup(folder: Path) -> None:
    """Wait until its last process has gone, and remove it with those below it."""
    deadline = time.monotonic() + STOP_S
    with (folder / "cgroup.events").open() as events:
        while "populated 1" in events.read():
            assert time.monotonic() < deadline, f"{folder} is still in use"
            select.select([], [], [events], 1)  # the kernel reports a change as urgent data
            events.seek(0)
    for child, _, _ in os.walk(folder, topdown=False):
        Path(child).rmdir()


def obstacle() -> str | None:
    """Return why no container can be started here."""
    if os.geteuid() != 0:
        return "only root can boot a container"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    missing += [str(path) for path in (INIT, Path(PYTHON)) if not path.exists()]
    if missing:
        return f"not installed: {' '.join(missing)}"
    try:
        cgroup_folder()
        command = ["unshare", "--mount", "--pid", "--fork", "mount", "-t", "proc", "proc", "/proc"]
        subprocess.run(command, capture_output=True, text=True, timeout=BOOT_S, check=True)
    except FileNotFoundError as error:
        return str(error)
    except subprocess.CalledProcessError as error:  # root of a container that may mount nothing
        return str(error.stderr).strip()
    return None


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """Boot one for the module's tests; skipped with the reason where that cannot be, failed in CI."""
    if reason := obstacle():
        if os.environ.get("SOCKETD_REQUIRE_TOOLS"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    machine = Container(tmp_path_factory.mktemp("container"))
    machine.start()
    try:
        yield machine
    finally:
        machine.stop()
