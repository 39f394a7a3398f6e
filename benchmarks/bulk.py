"""How fast do 10,000 sockets come, show themselves and go?"""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from processes import Daemon, resident_bytes
from report import Report, main, timed
from wire import request

if TYPE_CHECKING:
    from wire import Wire

COUNT: Final = 10_000
ROUNDS: Final = 5
SHAPES: Final[dict[str, dict[str, Any]]] = {
    "create, unbound": {},
    "create+bind+listen on one Unix name each": {"family": "unix", "bind": {"unnamed": True}, "listen": True},
    "create+bind+listen on a free port each": {"bind": "127.0.0.1:0", "listen": True},
}
_PIPELINED: Final = 50


def measure(quick: bool) -> list[Report]:  # noqa: FBT001 - what every benchmark takes
    """Make, list and delete; the shapes take turns, each round in a daemon of its own."""
    count = COUNT // 10 if quick else COUNT
    took: dict[str, list[float]] = defaultdict(list)
    grown: list[float] = []
    for _ in range(2 if quick else ROUNDS):
        for name, body in SHAPES.items():
            with Daemon() as daemon, daemon.wire() as wire:
                before = resident_bytes(daemon.worker_pid())
                took[name].append(_time(wire, request("POST", "/v1/sockets", {**body, "count": count}), 201))
                grown.append((resident_bytes(daemon.worker_pid()) - before) / count)
                took["list"].append(_time(wire, request("GET", f"/v1/sockets?limit={count}")))
                some = request("GET", f"/v1/sockets?limit={count}&fields=fd,state")
                took["list, fields=fd,state"].append(_time(wire, some))
                took["delete, a call each"].append(_delete(wire, count))
    rows = tuple(
        (name, count / statistics.median(times), statistics.median(times) / count * 1e6)
        for name, times in took.items()
    )
    notes = (
        f"{count:,} at a time. The worker grew by {statistics.median(grown) / 1024:.1f} KiB a held socket, "
        f"the answer that names them all included. Deleting is pipelined, {_PIPELINED} requests to a write."
    )
    return [Report("Many sockets in one call", ("", "sockets per second", "µs each"), rows, notes)]


def _time(wire: Wire, raw: bytes, expected: int = 200) -> float:
    return timed(lambda: wire.ask(raw, expected))


def _delete(wire: Wire, count: int) -> float:
    page = wire.ask(request("GET", f"/v1/sockets?limit={count}&fields=fd")).json()
    raw = [request("DELETE", f"/v1/sockets/{one['fd']}") for one in page["sockets"]]
    batches = [raw[start : start + _PIPELINED] for start in range(0, count, _PIPELINED)]
    return timed(lambda: [wire.ask_all(batch, 204) for batch in batches])


if __name__ == "__main__":
    main(measure)
