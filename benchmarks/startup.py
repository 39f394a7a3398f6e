"""How long does the daemon take to answer for the first time, and to stop?"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from processes import Daemon, Server, wsgi_server
from report import Report, main
from wire import request

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS: Final = 7
HELD: Final = 1_000


def measure(quick: bool) -> list[Report]:  # noqa: FBT001 - what every benchmark takes
    """Start and stop each in turn."""
    cases: dict[str, Callable[[], tuple[float, float]]] = {
        "socketd": lambda: _life(Daemon()),
        f"socketd, holding {HELD:,} sockets when it stops": lambda: _life(Daemon(), HELD),
        "hello, gevent": lambda: _life(wsgi_server("yardsticks:hello", "gevent")),
        "Flask hello, gevent": lambda: _life(wsgi_server("yardsticks:flask_hello()", "gevent")),
    }
    lives: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for _ in range(3 if quick else ROUNDS):
        for name, live in cases.items():
            lives[name].append(live())
    rows = tuple(
        (
            name,
            statistics.median(start for start, _ in seen) * 1000,
            min(start for start, _ in seen) * 1000,
            statistics.median(stop for _, stop in seen) * 1000,
        )
        for name, seen in lives.items()
    )
    columns = ("", "first answer ms, median", "best", "stop ms, median")
    notes = "From `fork` to the first 200, and from SIGTERM to the end of the process."
    return [Report("Starting and stopping", columns, rows, notes)]


def _life(server: Server, held: int = 0) -> tuple[float, float]:
    try:
        if held:
            with server.wire() as wire:
                wire.ask(request("POST", "/v1/sockets", {"count": held}), 201)
    finally:
        stop_s = server.stop()
    return server.start_s, stop_s


if __name__ == "__main__":
    main(measure)
