"""What does it cost to start a program on a held socket, beside s6, systemd and nothing at all?"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fdholder import fdholder
from processes import Daemon
from report import Report, Samples, main, timed

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUNDS: Final = 5
STEPS: Final = 10
START_S: Final = 10.0
INSTALLED: Final = Path(sys.executable).with_name("socketctl")
SOCKETCTL: Final = (str(INSTALLED),) if INSTALLED.exists() else (sys.executable, "-m", "socketd_client.cli")
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
    """Alternate between the ways, start by start."""
    with contextlib.ExitStack() as cleanup:
        cases = _cases(cleanup)
        for case in cases:
            case.step()  # once for the page cache and the compiled modules
        for _ in range(2 if quick else ROUNDS):
            for case in cases:
                case.samples.rounds.append([])
            for case in cases * STEPS:  # start by start: ten of `true` are over within one disturbance
                case.samples.rounds[-1].append(timed(case.step))
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
    # As installed, so with the compiled modules that a run from a checkout may be told not to keep.
    environ = {"SOCKETD_URL": f"unix://{daemon.path}", "PYTHONDONTWRITEBYTECODE": ""}
    listen = ("--listen", "web=127.0.0.1:0")
    cases = [
        Case(BARE, ("true",)),
        Case("python -c pass", (sys.executable, "-c", "pass")),
        Case("socketctl exec", (*SOCKETCTL, "exec", *listen, "--", "true"), environ),
        Case("socketctl exec --take", (*SOCKETCTL, "exec", "--take", "web", "--", "true"), environ),
    ]
    path = cleanup.enter_context(fdholder())
    if path is not None:
        cases.append(Case("s6-fdholder-retrieve", ("s6-fdholder-retrieve", path, "web", "true")))
    if shutil.which("systemd-socket-activate"):
        port = _free_port()
        command = ("systemd-socket-activate", "--listen", f"127.0.0.1:{port}", "true")
        cases.append(Case("systemd-socket-activate", command, port=port))
    return cases


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
