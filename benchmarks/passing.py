"""What do take and give cost, beside a plain GET, bare SCM_RIGHTS between two processes, and s6-fdholder?"""

from __future__ import annotations

import array
import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fdholder import HELD, caller, calls, fdholder
from processes import Daemon
from report import Report, Samples, main, timed
from wire import Wire, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

COUNTS: Final = {1: 100, 253: 20, 10_000: 2}
"""How many descriptors at once, and how often in a round."""
ROUNDS: Final = 7
COMMANDS: Final = 20
BATCH: Final = 253
PORT: Final = {"bind": "127.0.0.1:0", "listen": True, "name": "web"}
TAKE: Final = "/v1/sockets/take"
GET: Final = "GET of one socket"
SOURCE: Final = Path(__file__).parents[1] / "docs" / "examples" / "passing.c"
_RECEIVES: Final = {"Accept-Descriptors": "yes"}
_UPGRADE: Final = {"Connection": "Upgrade", "Upgrade": "socketd-give"}
_LENGTH: Final = struct.Struct(">I")
_CLOEXEC: Final = 0x40000000  # MSG_CMSG_CLOEXEC
_ROOM: Final = socket.CMSG_SPACE(BATCH * 4)


def measure(quick: bool) -> list[Report]:  # noqa: FBT001 - what every benchmark takes
    """Let every case have a turn in each round."""
    rounds = 3 if quick else ROUNDS
    with (
        Daemon() as daemon,
        daemon.wire() as wire,
        bare_sender() as sender,
        fdholder() as path,
        caller() as program,
    ):
        peer = partial(calls, program, path, COUNTS[1]) if program and path else dict
        samples = _passed(daemon, wire, sender, peer, rounds)
        return [_described(samples), *_commands(daemon, wire, path, rounds)]


def _passed(
    daemon: Daemon, wire: Wire, sender: socket.socket, peer: Callable[[], dict[str, list[float]]], rounds: int
) -> dict[tuple[str, int], Samples]:
    wire.ask(request("POST", "/v1/sockets", PORT), 201)
    get = request("GET", "/v1/sockets/web")
    samples: dict[tuple[str, int], Samples] = {}
    for _ in range(rounds):
        _note(samples, (GET, 1), [timed(lambda: wire.ask(get)) for _ in range(COUNTS[1])])
        for name, took in peer().items():
            _note(samples, (f"s6-fdholder {name}, in C", 1), took)
        for count, steps in COUNTS.items():
            made = wire.ask(request("POST", "/v1/sockets", {"count": count}), 201).json()["sockets"]
            body = {"sockets": [one["fd"] for one in made]}
            take = request("POST", TAKE, body, _RECEIVES)
            bare, taking = partial(_bare, sender, count), partial(_take_and_close, wire, take)
            _note(samples, ("bare SCM_RIGHTS", count), [timed(bare) for _ in range(steps)])
            _note(samples, ("take", count), [timed(taking) for _ in range(steps)])
            few = partial(_take_and_close, wire, request("POST", f"{TAKE}?fields=fd", body, _RECEIVES))
            _note(samples, ("take, fields=fd", count), [timed(few) for _ in range(steps)])
            release = request("POST", TAKE, {**body, "release": True}, _RECEIVES)
            _note(samples, ("give", count), _gives(daemon, wire, _take(wire, release), steps))
    return samples


def _described(samples: dict[tuple[str, int], Samples]) -> Report:
    base = samples[GET, 1]
    rows = tuple(
        (
            f"{name}, {count:,}",
            each.quantile_us(0.5),
            each.quantile_us(0.99),
            each.quantile_us(0.5) / base.quantile_us(0.5),
            count * each.per_second(),
            each.ratio(samples["bare SCM_RIGHTS", count]) if name != GET else None,
        )
        for (name, count), each in samples.items()
    )
    columns = (
        "descriptors",
        "p50 µs",
        "p99 µs",
        f"of {GET}",
        "descriptors per second",
        "of bare SCM_RIGHTS",
    )
    notes = (
        "Received descriptors are closed again, which is in the figures. A give makes its own connection, "
        "and its answer describes every socket, as a take's does: 6 MB of JSON for 10,000. "
        "s6-fdholder passes a descriptor a call; it is asked from C (fdholder.c), socketd and the bare "
        "sender from Python."
    )
    return Report("Descriptors over the API's Unix socket", columns, rows, notes)


def _note(samples: dict[tuple[str, int], Samples], name: tuple[str, int], took: list[float]) -> None:
    samples.setdefault(name, Samples()).rounds.append(took)


def _take(wire: Wire, raw: bytes) -> list[int]:
    """Send a take and read up to the end of its answer."""
    wire.sock.sendall(raw)
    found, data = array.array("i"), bytearray()
    while True:
        piece, control, _, _ = wire.sock.recvmsg(1 << 20, _ROOM, _CLOEXEC)
        for _, _, content in control:
            found.frombytes(content)
        data += piece
        at = data.find(b"HTTP/1.1 200")
        end = data.find(b"\r\n\r\n", at) if at >= 0 else -1
        if end >= 0:
            length = int(data[at:end].lower().partition(b"content-length: ")[2].split()[0])
            break
        if b"HTTP/1.1 4" in data or not piece:
            raise RuntimeError(f"the take was refused: {bytes(data[-500:])!r}")
    left = length - (len(data) - end - 4)
    while left > 0:
        left -= len(wire.sock.recv(min(left, 1 << 20)))
    return list(found)


def _take_and_close(wire: Wire, raw: bytes) -> None:
    _close(_take(wire, raw))


def _gives(daemon: Daemon, wire: Wire, descriptors: list[int], steps: int) -> list[float]:
    """Give, time that, and have them released again."""
    took = []
    for step in range(steps):
        started = time.perf_counter()
        held = _give(daemon.path, descriptors)
        took.append(time.perf_counter() - started)
        _close(descriptors)
        body = {"sockets": [one["fd"] for one in held], "release": True}
        descriptors = _take(wire, request("POST", TAKE, body, _RECEIVES))
        if step == steps - 1:
            _close(descriptors)
    return took


def _give(path: str, descriptors: Sequence[int]) -> list[dict[str, Any]]:
    with Wire(path) as wire:
        sock = wire.sock
        sock.sendall(request("POST", "/v1/sockets/give", None, _UPGRADE))
        wire.read(101)
        manifest = json.dumps({"sockets": [{}] * len(descriptors)}).encode()
        sock.sendall(_LENGTH.pack(len(manifest)) + manifest)
        for start in range(0, len(descriptors), BATCH):
            batch = array.array("i", descriptors[start : start + BATCH])
            sock.sendmsg([bytes((len(batch),))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, batch)])
            if sock.recv(1)[0] != len(batch):
                raise RuntimeError("the give was refused")
        (length,) = _LENGTH.unpack(_exactly(sock, _LENGTH.size))
        answer = json.loads(_exactly(sock, length))
    found: list[dict[str, Any]] = answer["body"]["sockets"]
    return found


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += sock.recv(min(size - len(data), 1 << 20))
    return bytes(data)


@contextlib.contextmanager
def bare_sender() -> Iterator[socket.socket]:
    """Run a process that sends as many descriptors as it is asked for, in messages of 253."""
    near, far = socket.socketpair()
    child = os.fork()
    if child == 0:
        near.close()
        _serve_bare(far)
        os._exit(0)
    far.close()
    try:
        yield near
    finally:
        near.close()
        os.waitpid(child, 0)


def _serve_bare(sock: socket.socket) -> None:
    own = socket.socket()
    while asked := sock.recv(4):
        left = _LENGTH.unpack(asked)[0]
        while left:
            batch = array.array("i", [own.fileno()] * min(left, BATCH))
            sock.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, batch)])
            left -= len(batch)


def _bare(sock: socket.socket, count: int) -> None:
    sock.sendall(_LENGTH.pack(count))
    found = array.array("i")
    while len(found) < count:
        _, control, _, _ = sock.recvmsg(1, _ROOM, _CLOEXEC)
        found.frombytes(control[0][2])
    _close(found)


def _close(descriptors: Sequence[int] | array.array[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def _commands(daemon: Daemon, wire: Wire, peer: str | None, rounds: int) -> list[Report]:
    """Compare commands that run ``true`` with the socket; needs cc, and the package s6 for the peer."""
    if shutil.which("cc") is None:
        return []
    with tempfile.TemporaryDirectory(prefix="socketd-bench-") as folder:
        program = f"{folder}/passing"
        subprocess.run(["cc", "-O2", "-o", program, str(SOURCE)], check=True)
        wire.ask(request("PUT", "/v1/names/web", {"bind": "127.0.0.1:0", "listen": True}))
        cases: dict[str, Sequence[str]] = {
            "true alone": ("true",),
            "passing take web true": (program, "take", daemon.path, "web", "true"),
        }
        if peer is not None:
            cases["s6-fdholder-retrieve web true"] = ("s6-fdholder-retrieve", peer, HELD, "true")
        samples = {name: Samples() for name in cases}
        for _ in range(rounds):
            for name, command in cases.items():
                samples[name].rounds.append([timed(_running(command)) for _ in range(COMMANDS)])
    alone = samples["true alone"].quantile_us(0.5)
    rows = tuple(
        (name, each.quantile_us(0.5), each.quantile_us(0.99), each.quantile_us(0.5) - alone)
        for name, each in samples.items()
    )
    notes = "`passing` is docs/examples/passing.c. A process is started in each case, also for `true alone`."
    return [
        Report("Take as a command", ("command", "p50 µs", "p99 µs", "p50 µs more than true"), rows, notes)
    ]


def _running(command: Sequence[str]) -> Callable[[], object]:
    return lambda: subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main(measure)
