"""What does it cost that 100,000 held sockets outlive the daemon: storing, coming back, memory?"""

from __future__ import annotations

import os
import select
import signal
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from processes import Daemon, Server, resident_bytes
from report import Report, Samples, main, timed
from wire import request

if TYPE_CHECKING:
    from report import Cell
    from wire import Wire

COUNTS: Final = (1_000, 10_000, 100_000)
ROUNDS: Final = 5
CALLS: Final = 300
BATCH: Final = 5_000
"""Sockets made by one call; its answer is 3 MB."""
_SPARE: Final = 1_000  # descriptors that are no held sockets: modules, connections, what rests
_BACK_S: Final = 120.0
_PAUSE_S: Final = 0.001
_SERVICE: Final = request("GET", "/v1/")


class Kept(Server):
    """A ``socketd run``: a daemon whose sockets a keeper holds as well."""

    def __init__(self) -> None:
        keeper = ("--keeper", "{path}.keeper", "--state-directory", "{path}.state")
        super().__init__(
            ("-m", "socketd", "run", "--listen", "{path}", *keeper, "--number-rest-s", "0"), "/healthz"
        )

    def keeper_pid(self) -> int:
        """Return the process that holds the second copies."""
        return next(pid for pid in children(self.process.pid) if b"keep" in arguments(pid))

    def await_keeper(self) -> None:
        """Wait until the keeper has everything."""
        _await(lambda: self._service()["keeper"] == "up")

    def kill_daemon(self) -> float:
        """Kill both its processes; give the seconds until the next one answers, with everything held."""
        with self.wire() as wire:
            worker = int(wire.ask(_SERVICE).json()["pid"])
        master = parent(worker)
        begin = time.perf_counter()
        for pid in (master, worker):
            kill(pid)
        # The supervisor listens meanwhile: the request waits in the backlog for whoever comes.
        self._service()
        return time.perf_counter() - begin

    def kill_keeper(self) -> float:
        """Kill the keeper; give the seconds until the next one has everything again."""
        begin = time.perf_counter()
        kill(self.keeper_pid())
        _await(lambda: self._service()["keeper"] != "up")
        self.await_keeper()
        return time.perf_counter() - begin

    def _service(self) -> Any:
        with self.wire() as wire:
            return wire.ask(_SERVICE).json()


@dataclass(frozen=True, slots=True)
class Life:
    """What one round measured with one number of sockets, in seconds and bytes."""

    store: float
    daemon_back: float
    keeper_back: float
    daemon_bytes: float
    keeper_bytes: float


def measure(quick: bool) -> list[Report]:  # noqa: FBT001 - what every benchmark takes
    """Hold more and more, and kill what holds them."""
    return [_many(1 if quick else ROUNDS, COUNTS[:2] if quick else COUNTS), _one(3 if quick else ROUNDS)]


def _many(rounds: int, counts: tuple[int, ...]) -> Report:
    most = _descriptor_limit() - _SPARE
    feasible = sorted({min(count, most) for count in counts})
    alone: dict[int, list[float]] = {count: [] for count in feasible}
    lives: dict[int, list[Life]] = {count: [] for count in feasible}
    for _ in range(rounds):
        for count in feasible:
            alone[count].append(_make_alone(count))
            lives[count].append(_live(count))
    columns = (
        "held sockets",
        "create µs each, no keeper",
        "with one",
        "daemon killed: back in ms",
        "keeper killed: all stored again in ms",
        "daemon KiB each",
        "keeper KiB each",
    )
    rows = tuple(_row(count, alone[count], lives[count]) for count in feasible)
    notes = (
        f"Created {BATCH:,} to a call. “Back” is from SIGKILL to the first answer, with everything adopted; "
        "starting the process is in it. Memory is what the PSS grew by; the kernel's is not in it."
    )
    if most < counts[-1]:
        notes += (
            f" RLIMIT_NOFILE cannot be more than {most + _SPARE:,} on this machine, so that {most:,} were "
            f"held and not {counts[-1]:,}."
        )
    return Report("Sockets that outlive the daemon", columns, rows, notes)


def _row(count: int, alone: list[float], lives: list[Life]) -> tuple[Cell, ...]:
    def median(member: str) -> float:
        return statistics.median(getattr(life, member) for life in lives)

    return (
        f"{count:,}",
        statistics.median(alone) / count * 1e6,
        median("store") / count * 1e6,
        median("daemon_back") * 1e3,
        median("keeper_back") * 1e3,
        median("daemon_bytes") / count / 1024,
        median("keeper_bytes") / count / 1024,
    )


def _make_alone(count: int) -> float:
    with Daemon() as daemon, daemon.wire() as wire:
        return timed(lambda: _make(wire, count))


def _live(count: int) -> Life:
    with Kept() as kept:
        kept.await_keeper()
        with kept.wire() as wire:
            worker = int(wire.ask(_SERVICE).json()["pid"])
            before = resident_bytes(worker), resident_bytes(kept.keeper_pid())
            store = timed(lambda: _make(wire, count))
            grown = resident_bytes(worker) - before[0], resident_bytes(kept.keeper_pid()) - before[1]
        daemon_back = kept.kill_daemon()
        kept.await_keeper()
        keeper_back = kept.kill_keeper()
        _check(kept, count)
        return Life(store, daemon_back, keeper_back, *grown)


def _make(wire: Wire, count: int) -> None:
    for start in range(0, count, BATCH):
        wire.ask(request("POST", "/v1/sockets", {"count": min(BATCH, count - start)}), 201)


def _check(kept: Kept, count: int) -> None:
    """Count them: a figure of sockets that were lost would mean nothing.

    Raises:
        RuntimeError: Some are missing.
    """
    found, more = 0, ""
    with kept.wire() as wire:
        while more is not None:
            page = wire.ask(request("GET", f"/v1/sockets?limit=10000&fields=fd{more}")).json()
            found += len(page["sockets"])
            more = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    if found != count:
        raise RuntimeError(f"{found:,} of {count:,} sockets are left")


def _one(rounds: int) -> Report:
    """Compare what one create costs; the cases take turns."""
    raw = request("POST", "/v1/sockets", {})
    with Daemon() as daemon, Kept() as kept:
        kept.await_keeper()
        servers = {"create, no keeper": daemon, "create, stored before it is answered": kept}
        samples = {name: Samples() for name in servers}
        for _ in range(rounds):
            for name, server in servers.items():
                with server.wire() as wire:
                    samples[name].rounds.append([timed(lambda: wire.ask(raw, 201)) for _ in range(CALLS)])
    first = next(iter(samples.values()))
    rows = tuple(
        (name, some.per_second(), some.quantile_us(0.5), some.quantile_us(0.99), some.ratio(first))
        for name, some in samples.items()
    )
    columns = ("call", "per second", "p50 µs", "p99 µs", "of no keeper")
    return Report("What the second copy costs a call", columns, rows)


def children(pid: int) -> list[int]:
    """List the processes that the first thread of one has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def arguments(pid: int) -> list[bytes]:
    """Read a command line."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def parent(pid: int) -> int:
    """Say who started a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def kill(pid: int) -> None:
    """Kill a process that is not our child, and wait until it is dead."""
    watch = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(watch, signal.SIGKILL)
        select.select([watch], [], [], _BACK_S)
    finally:
        os.close(watch)


def _await(condition: Any) -> None:
    deadline = time.perf_counter() + _BACK_S
    while not condition():
        if time.perf_counter() > deadline:
            raise RuntimeError("the keeper does not come back")
        time.sleep(_PAUSE_S)


def _descriptor_limit() -> int:
    """Ask how many a process may have here, as the daemon and the keeper ask for themselves."""
    with Daemon() as daemon, daemon.wire() as wire:
        return int(wire.ask(request("GET", "/v1/process")).json()["descriptors"]["soft_limit"])


if __name__ == "__main__":
    main(measure)
