"""What does it cost to start a program on a held socket, beside s6, systemd and nothing at all?"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from processes import Daemon
from report import Report, Samples, main, timed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROUNDS: Final = 5
STEPS: Final = 10
START_S: Final = 10.0
SOCKETCTL: Final = (sys.executable, "-m", "socketd_client.cli")
BARE: Final = "true alone"
NOTES: Final = (
    "Wall time of the whole command, with `true` as the program; above alone: what starting it on the "
    "socket adds. systemd-socket-activate starts its program at the first connection, which is made as "
    "soon as it listens, and its socket ends with the program."
)


@dataclass(slots=True)
class Case:
    """One way to start a program."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    samples: Samples = field(default_factory=Samples)

    def step(self) -> None:
        """Start it once, and wait for its end."""
        environ = {**os.environ, **self.environ}
        with subprocess.Popen(self.command, env=environ, stderr=subprocess.DEVNULL) as process:
            if self.port is not None:
                _connect(self.port)
            if process.wait() != 0:
                raise RuntimeError(f"{self.name}: ended with {process.returncode}")


def measure(quick: bool) -> list[Report]:  # noqa: FBT001 - what every benchmark takes
    """Alternate between the ways, round by round."""
    with contextlib.ExitStack() as cleanup:
        cases = _cases(cleanup)
        for case in cases:
            case.step()  # once for the page cache and the compiled modules
        for _ in range(2 if quick else ROUNDS):
            for case in cases:
                case.samples.rounds.append([timed(case.step) for _ in range(STEPS)])
    alone = cases[0].samples.quantile_us(0.5)
    rows = tuple(
        (
            case.name,
            case.samples.quantile_us(0.5) / 1000,
            case.samples.quantile_us(0.99) / 1000,
            (case.samples.quantile_us(0.5) - alone) / 1000,
        )
        for case in cases
    )
    columns = ("command", "p50 ms", "p99 ms", "above alone ms")
    return [Report("What does starting a program on a held socket cost?", columns, rows, NOTES)]


def _cases(cleanup: contextlib.ExitStack) -> list[Case]:
    daemon = cleanup.enter_context(Daemon())
    environ = {"SOCKETD_URL": f"unix://{daemon.path}"}
    listen = ("--listen", "web=127.0.0.1:0")
    cases = [
        Case(BARE, ("true",)),
        Case("python -c pass", (sys.executable, "-c", "pass")),
        Case("socketctl exec", (*SOCKETCTL, "exec", *listen, "--", "true"), environ),
        Case("socketctl exec --take", (*SOCKETCTL, "exec", "--take", "web", "--", "true"), environ),
    ]
    if shutil.which("s6-fdholderd"):
        path = cleanup.enter_context(_fdholder())
        cases.append(Case("s6-fdholder-retrieve", ("s6-fdholder-retrieve", path, "web", "true")))
    if shutil.which("systemd-socket-activate"):
        port = _free_port()
        command = ("systemd-socket-activate", "--listen", f"127.0.0.1:{port}", "true")
        cases.append(Case("systemd-socket-activate", command, port=port))
    return cases


@contextlib.contextmanager
def _fdholder() -> Iterator[str]:
    """Run an s6-fdholderd that holds a listener as ``web``, and lets us do everything."""
    with tempfile.TemporaryDirectory(prefix="socketd-bench-") as folder:
        rules = Path(folder, "rules", "uid", str(os.getuid()))
        (rules / "env").mkdir(parents=True)
        (rules / "allow").touch()
        for name in ("S6_FDHOLDER_STORE_REGEX", "S6_FDHOLDER_RETRIEVE_REGEX"):
            (rules / "env" / name).write_text(".*\n")
        path = f"{folder}/s"
        command = ["s6-fdholder-daemon", "-i", f"{folder}/rules", path]
        process = subprocess.Popen(command, start_new_session=True)
        try:
            _await_path(path)
            with socket.create_server(("127.0.0.1", 0)) as listener:
                store = ["s6-fdholder-store", path, "web"]
                subprocess.run(store, stdin=listener.fileno(), check=True)
            yield path
        finally:
            process.terminate()
            process.wait()


def _await_path(path: str) -> None:
    deadline = time.monotonic() + START_S
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise RuntimeError("s6-fdholderd does not come up")
        time.sleep(0.002)


def _connect(port: int) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.0005)
        else:
            return


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


if __name__ == "__main__":
    main(measure)
