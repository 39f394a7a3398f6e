"""What do thousands of waiting accepts cost: memory, the latency of other calls, the time to serve them?"""

from __future__ import annotations

import resource
import select
import socket
import struct
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from processes import Daemon, resident_bytes
from report import Report, main, quantile, timed
from wire import PATIENCE_S, Wire, request

if TYPE_CHECKING:
    from report import Cell

SCENES: Final = ((1_000, 1), (1_000, 1_000), (10_000, 1), (10_000, 1_000))
"""Waiting accepts, and over how many listeners."""

CALLS: Final = 1_000
BATCH: Final = 500
_SPARE: Final = 500
_CONNECTING: Final = 200
_QUIET_S: Final = 0.1
_QUIET_NS: Final = 10_000_000
_HARD_END: Final = struct.pack("ii", 1, 0)  # SO_LINGER: a reset, so that no port is left in TIME_WAIT


class Scene:
    """A daemon with waiting accepts.

    Args:
        waits: How many calls wait.
        listeners: How many sockets they wait on, by turns.
    """

    def __init__(self, waits: int, listeners: int) -> None:
        self._waits = waits
        self._stack = ExitStack()
        daemon = self._stack.enter_context(Daemon("--max-waits", str(waits)))
        self._wire = self._stack.enter_context(daemon.wire())
        body = {"bind": "127.0.0.1:0", "listen": {"backlog": 4096}, "count": listeners}
        made = self._wire.ask(request("POST", "/v1/sockets", body), 201).json()["sockets"]
        self._asks = [request("POST", f"/v1/sockets/{one['fd']}/accept", {"timeout": 600}) for one in made]
        self._ports = [one["local"]["port"] for one in made]
        self._path, self._pid = daemon.path, daemon.worker_pid()
        self._waiting: dict[int, Wire] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for wire in self._waiting.values():
            wire.sock.close()
        self._stack.close()

    def run(self) -> tuple[Cell, ...]:
        """Give a row of the table."""
        calm = self._latencies()
        before = resident_bytes(self._pid)
        for start in range(0, self._waits, _CONNECTING):
            for nth in range(start, min(start + _CONNECTING, self._waits)):
                wire = Wire(self._path)
                self._waiting[wire.sock.fileno()] = wire
                wire.send(self._asks[nth % len(self._asks)])
            self._wire.ask(request("GET", "/healthz"))  # the backlog of the API's socket is empty again
        _settle(self._pid)
        each = (resident_bytes(self._pid) - before) / self._waits
        busy = self._latencies()
        served_s = timed(self._serve)
        return (
            f"{self._waits:,} on {len(self._asks):,}",
            each / 1024,
            quantile(calm, 0.5) * 1e6,
            quantile(busy, 0.5) * 1e6,
            quantile(calm, 0.99) * 1e6,
            quantile(busy, 0.99) * 1e6,
            served_s / self._waits * 1e6,
        )

    def _latencies(self) -> list[float]:
        raw = request("GET", "/v1/sockets/64?fields=fd,state")
        return [timed(lambda: self._wire.ask(raw)) for _ in range(CALLS)]

    def _serve(self) -> None:
        """Make one connection arrive for each who waits, and read every answer."""
        with select.epoll() as epoll:
            for fd in self._waiting:
                epoll.register(fd, select.EPOLLIN)
            for start in range(0, self._waits, BATCH):
                arrivals = range(start, min(start + BATCH, self._waits))
                clients = [self._arrive(self._ports[nth % len(self._ports)]) for nth in arrivals]
                self._collect(epoll, len(clients))
                for client in clients:
                    client.close()

    def _arrive(self, port: int) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", port))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _HARD_END)
        return client

    def _collect(self, epoll: select.epoll, wanted: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while wanted:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{wanted} waiting accepts were not answered")
            for fd, _ in epoll.poll(1.0):
                wire = self._waiting.pop(fd)
                wire.read(201)
                # Its descriptor in the daemon is needed for the next that are accepted.
                epoll.unregister(fd)
                wire.sock.close()
                wanted -= 1


def measure(quick: bool) -> list[Report]:  # noqa: FBT001 - what every benchmark takes
    """Play each scene once, in a daemon of its own."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = []
    for most, listeners in SCENES[:2] if quick else SCENES:
        waits = min(most, hard // 2 - _SPARE)  # the daemon leaves as many descriptors to sockets
        with Scene(waits, listeners) as scene:
            rows.append(scene.run())
    columns = (
        "waits on listeners",
        "KiB each",
        "GET p50 µs before",
        "GET p50 µs meanwhile",
        "GET p99 µs before",
        "GET p99 µs meanwhile",
        "µs to serve one",
    )
    notes = (
        "Memory is the worker's PSS, its side of the HTTP connection included (the kernel's buffers are not)."
    )
    return [Report("Waiting accepts, each on a connection of its own", columns, tuple(rows), notes)]


def _settle(pid: int) -> None:
    """Wait until a process has little to do; bounded."""
    spent = _processor_ns(pid)
    for _ in range(int(PATIENCE_S / _QUIET_S)):
        time.sleep(_QUIET_S)
        before, spent = spent, _processor_ns(pid)
        if spent - before < _QUIET_NS:
            return


def _processor_ns(pid: int) -> int:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


if __name__ == "__main__":
    main(measure)
