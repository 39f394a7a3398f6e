"""s6-fdholderd, the peer that holds descriptors too: a daemon of our own, and calls to it from C."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

HELD: Final = "web"
SOURCE: Final = Path(__file__).with_name("fdholder.c")
LIBRARIES: Final = ("-ls6", "-lskarnet")
_START_S: Final = 10.0


@contextlib.contextmanager
def fdholder() -> Iterator[str | None]:
    """Run an s6-fdholderd that holds a listener as ``web``; gives its path, ``None`` where s6 is missing."""
    if shutil.which("s6-fdholderd") is None:
        _skip("s6-fdholderd is not installed (Debian: s6)")
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="socketd-bench-") as folder:
        rules, path = Path(folder, "rules", "uid", str(os.getuid())), f"{folder}/s"
        (rules / "env").mkdir(parents=True)
        (rules / "allow").touch()
        for right in ("STORE", "RETRIEVE"):
            (rules / "env" / f"S6_FDHOLDER_{right}_REGEX").write_text(".*\n")
        command = ("s6-fdholder-daemon", "-i", f"{folder}/rules", path)
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            _store(path)
            yield path
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def caller() -> Iterator[str | None]:
    """Compile ``fdholder.c``; gives the program's path, ``None`` where that cannot be done."""
    compiler = shutil.which("cc")
    if compiler is None:
        _skip("there is no cc")
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="socketd-bench-") as folder:
        program = f"{folder}/fdholder"
        command = (compiler, "-O2", "-o", program, str(SOURCE), *LIBRARIES)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip() or "cc failed").splitlines()
            _skip(f"fdholder.c does not compile (Debian: libs6-dev, skalibs-dev): {reason[0]}")
        yield program if done.returncode == 0 else None


def calls(program: str, path: str, count: int) -> dict[str, list[float]]:
    """Store and retrieve ``count`` times; gives the seconds of each ``store`` and each ``retrieve``."""
    done = subprocess.run((program, path, str(count)), capture_output=True, text=True, check=True)
    took: dict[str, list[float]] = {}
    for name, nanoseconds in map(str.split, done.stdout.splitlines()):
        took.setdefault(name, []).append(int(nanoseconds) / 1e9)
    return took


def _store(path: str) -> None:
    """Store a listener as soon as it serves."""
    deadline = time.monotonic() + _START_S
    command = ("s6-fdholder-store", path, HELD)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        while subprocess.run(
            command, check=False, stdin=listener.fileno(), stderr=subprocess.DEVNULL
        ).returncode:
            if time.monotonic() > deadline:
                raise RuntimeError("s6-fdholderd does not serve")


def _skip(reason: str) -> None:
    print(f"no comparison with s6: {reason}", file=sys.stderr)
