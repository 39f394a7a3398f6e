"""Ways to join two ends: bare, through socketd, and through what others have made."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from processes import START_S

from socketd_client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from processes import Daemon

    from socketd_client import Socket

LOOPBACK: Final = ("127.0.0.1", 0)
HAPROXY: Final = """
global
  maxconn 100
defaults
  mode tcp
  timeout connect 5s
  timeout client 300s
  timeout server 300s
listen relay
  bind 127.0.0.1:{port}
  server far 127.0.0.1:{target}
"""


class MissingError(Exception):
    """A program is not installed; the message names it."""


@contextlib.contextmanager
def bare(listener: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Connect straight: the yardstick."""
    with socket.create_connection(listener.getsockname()) as near, listener.accept()[0] as far:
        yield near, far


@contextlib.contextmanager
def held(daemon: Daemon, listener: socket.socket) -> Iterator[tuple[Client, Socket, socket.socket]]:
    """Have the daemon connect, and hold that end."""
    with Client(f"unix://{daemon.path}") as client:
        near = client.sockets.create(connect=listener.getsockname())
        with listener.accept()[0] as far:
            yield client, near, far
        near.close()


@contextlib.contextmanager
def taken(daemon: Daemon, listener: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Take the held end's descriptor."""
    with held(daemon, listener) as (_, near, far), near.take() as mine:
        mine.settimeout(None)
        yield mine, far


@contextlib.contextmanager
def tunnelled(daemon: Daemon, listener: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Reach the held end through a tunnel over the API's Unix socket."""
    with held(daemon, listener) as (_, near, far), near.tunnel() as tunnel:
        yield tunnel, far


@contextlib.contextmanager
def forwarded(daemon: Daemon, listener: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Come in by a held listener, and be forwarded to the held end."""
    with held(daemon, listener) as (client, out, far):
        door = client.sockets.create(bind=LOOPBACK, listen=True)
        with socket.create_connection(door.getsockname()) as near:
            came, _ = door.accept()
            forward = client.forwards.create(came, out)
            yield near, far
        forward.stop()
        for each in (came, door):
            each.close()


@contextlib.contextmanager
def relayed(
    command: Callable[[int, int, Path], Sequence[str]],
    listener: socket.socket,
    greet: Callable[[socket.socket], None] = lambda _near: None,
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Go through somebody else's program.

    Args:
        command: Gives it, by the port to listen on, the port to connect to, and a folder for files.
        listener: The far end.
        greet: Says to the program what it wants to hear before it connects to the far end.

    Raises:
        MissingError: It is not installed.
    """
    with socket.create_server(LOOPBACK) as probe:
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        words = command(port, int(listener.getsockname()[1]), Path(folder))
        if shutil.which(words[0]) is None:
            raise MissingError(words[0])
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                with _connected(port, process) as near:
                    greet(near)
                    with listener.accept()[0] as far:
                        yield near, far
            finally:
                process.terminate()


def _connected(port: int, process: subprocess.Popen[bytes]) -> socket.socket:
    deadline = time.monotonic() + START_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def socat(*options: str) -> Callable[[int, int, Path], Sequence[str]]:
    """Run socat, for one connection."""

    def command(port: int, target: int, _folder: Path) -> Sequence[str]:
        listen = f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr"
        return (shutil.which("socat") or "socat", *options, listen, f"TCP:127.0.0.1:{target}")

    return command


def haproxy(port: int, target: int, folder: Path) -> Sequence[str]:
    """Run haproxy in tcp mode, which splices where it thinks that pays."""
    config = folder / "haproxy.cfg"
    config.write_text(HAPROXY.format(port=port, target=target))
    return (shutil.which("haproxy") or "/usr/sbin/haproxy", "-f", str(config), "-db")


def websockify(port: int, target: int, _folder: Path) -> Sequence[str]:
    """Run websockify: what comes to ``port`` is WebSocket, what leaves it is not."""
    name = shutil.which("websockify")
    words = (name,) if name else (sys.executable, "-m", "websockify")
    return (*words, f"127.0.0.1:{port}", f"127.0.0.1:{target}")
