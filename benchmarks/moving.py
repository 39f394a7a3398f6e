"""How fast do bytes move along each way through socketd, beside bare sockets and other people's relays?"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import statistics
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import joints
import pouring
from processes import Daemon
from report import Report, main, quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from report import Cell

    Joint = Callable[
        [socket.socket], AbstractContextManager[tuple[pouring.Near | socket.socket, socket.socket]]
    ]

MIB: Final = 1 << 20
ROUNDS: Final = 5
FAST_BYTES: Final = 1024 * MIB
SLOW_BYTES: Final = 96 * MIB
PINGS: Final = 1_500
PING: Final = bytes(64)
BARE: Final = "bare loopback"
SOCAT: Final = "socat, as it comes"
_FORK: Final = multiprocessing.get_context("fork")


@dataclass(slots=True)
class Way:
    """One way from an end to another.

    Attributes:
        joint: Joins the near end, which is a program's, to a far one, which is a plain socket.
        size: How many bytes to move at a time.
        is_towards: The near end sends; else it receives.
        answers: Whether the near end can be asked and answered, for the round trips.
        moves: Whether it is for many bytes.
        rates: Bytes per second, round by round.
        cpu_s: Seconds of all processors together, for each of these bytes.
    """

    name: str
    joint: Joint
    size: int = FAST_BYTES
    is_towards: bool = True
    answers: bool = True
    moves: bool = True
    rates: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    trips_s: list[float] = field(default_factory=list)


def measure(quick: bool) -> list[Report]:  # noqa: FBT001 - what every benchmark takes
    """Let all ways take turns."""
    with Daemon() as daemon, socket.create_server(("127.0.0.1", 0)) as listener:
        ways = [way for way in _ways(daemon) if _is_there(way, listener)]
        for _ in range(2 if quick else ROUNDS):
            for way in (way for way in ways if way.moves):
                size = way.size // (4 if quick else 1)
                before = busy_s()
                way.rates.append(_rate(way, listener, size))
                way.cpu_s.append((busy_s() - before) / size)
        for way in ways:
            if way.answers:
                with way.joint(listener) as (near, far):
                    way.trips_s = _trips(_end(near), far, PINGS // (5 if quick else 1))
    return [_throughput(ways), _latency(ways)]


def _ways(daemon: Daemon) -> Iterator[Way]:
    yield Way(BARE, joints.bare)
    yield Way("take", partial(joints.taken, daemon))
    yield Way("forward", partial(joints.forwarded, daemon))
    yield Way("tunnel", partial(joints.tunnelled, daemon))
    yield Way("PUT stream", partial(pouring.put, daemon), answers=False)
    yield Way("GET stream", partial(pouring.get, daemon), is_towards=False, answers=False)
    yield Way("SDK: sendall of 16 MiB", partial(pouring.by_sdk, daemon, 16 * MIB), answers=False)
    recv = partial(pouring.by_sdk, daemon, MIB)
    yield Way("SDK: recv of 1 MiB", recv, SLOW_BYTES, is_towards=False, answers=False)
    # Less than what goes as a stream.
    short = partial(pouring.by_sdk, daemon, MIB // 2)
    yield Way("SDK: sendall of 512 KiB", short, SLOW_BYTES, answers=False)
    file = partial(pouring.by_file, daemon)
    yield Way("SDK: makefile, by 64 KiB", file, SLOW_BYTES, is_towards=False, answers=False)
    yield Way("SDK: send, then recv", partial(pouring.by_sdk, daemon, MIB), moves=False)
    yield Way("send, then recv over HTTP", partial(pouring.by_calls, daemon), moves=False)
    yield Way("WebSocket", partial(pouring.websocket, daemon), SLOW_BYTES, is_towards=False)
    yield Way(SOCAT, partial(joints.relayed, joints.socat()))
    yield Way("socat, 256 KiB", partial(joints.relayed, joints.socat("-b", "262144")))
    yield Way("haproxy, tcp", partial(joints.relayed, joints.haproxy))
    yield Way("websockify", partial(pouring.websockify), SLOW_BYTES, is_towards=False)


def _is_there(way: Way, listener: socket.socket) -> bool:
    """Try a way once; what it needs may not be installed."""
    try:
        with way.joint(listener):
            return True
    except joints.MissingError as missing:
        print(f"left out, {missing} is not installed: {way.name}", file=sys.stderr)
        return False


def _rate(way: Way, listener: socket.socket, size: int) -> float:
    """Move so many bytes from one process to another; give bytes per second."""
    with way.joint(listener) as (near, far):
        here, there = _end(near), _end(far)
        if not way.is_towards:
            here, there = there, here
        started, ready = _FORK.SimpleQueue(), _FORK.Event()
        sender = _FORK.Process(target=_send, args=(here, size, ready, started))
        sender.start()
        try:
            ready.set()
            there.drain(size)
            took = time.monotonic() - started.get()
        finally:
            sender.join(joints.START_S)
            sender.kill()
        return size / took


def _end(either: pouring.Near | socket.socket) -> pouring.Near:
    return pouring.Bare(either) if isinstance(either, socket.socket) else either


def busy_s() -> float:
    """Read how long the processors have been busy; whatever else runs is in it."""
    words = Path("/proc/stat").read_text().split(maxsplit=9)
    user, nice, system, _idle, _waiting, interrupts, soft = map(int, words[1:8])
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")


def _send(near: pouring.Near, size: int, ready: object, started: object) -> None:
    ready.wait()  # type: ignore[attr-defined]
    started.put(time.monotonic())  # type: ignore[attr-defined]
    near.pour(size)
    os._exit(0)


def _trips(near: pouring.Near, far: socket.socket, count: int) -> list[float]:
    """Say a word and wait for it to come back, again and again."""
    echo = _FORK.Process(target=_echo, args=(far,), daemon=True)
    echo.start()
    took = []
    try:
        for _ in range(count):
            began = time.perf_counter()
            near.ask(PING)
            took.append(time.perf_counter() - began)
    finally:
        echo.kill()
        echo.join()
    return took


def _echo(far: socket.socket) -> None:
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(OSError):
        while data := far.recv(4096):
            far.sendall(data)


def _throughput(ways: list[Way]) -> Report:
    bare, socat = (next((one for one in ways if one.name == name), None) for name in (BARE, SOCAT))

    def ratio(way: Way, other: Way | None) -> Cell:
        if other is None:
            return None
        return statistics.median(own / its for own, its in zip(way.rates, other.rates, strict=True))

    rows = tuple(
        (
            way.name,
            statistics.median(way.rates) / 1e6,
            ratio(way, bare),
            ratio(way, socat),
            statistics.median(way.cpu_s) * 1e9,
        )
        for way in ways
        if way.moves
    )
    return Report(
        "How many bytes a second from one process to another?",
        ("way", "MB/s", "of bare loopback", "of socat", "CPU s a GB"),
        rows,
        f"Writes and reads of {pouring.CHUNK // 1024} KiB at plain ends. GET stream, recv, makefile, "
        "WebSocket and websockify are measured towards the program, the others from it. Of one connection. "
        "The CPU time is of both ends and whatever is between them: where a machine has fewer processors "
        "than that keeps busy, it is what bounds a relay, and not the relay's own speed.",
    )


def _latency(ways: list[Way]) -> Report:
    rows = tuple(
        (way.name, quantile(way.trips_s, 0.5) * 1e6, quantile(way.trips_s, 0.99) * 1e6)
        for way in ways
        if way.trips_s
    )
    return Report("How long does a word of 64 bytes take there and back?", ("way", "p50 µs", "p99 µs"), rows)


if __name__ == "__main__":
    main(measure)
