"""Held connections whose streams a test reads and writes, with curl or by hand."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.system import hogs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from tests.daemon_process import DaemonProcess

    Fresh = Callable[..., DaemonProcess]

FILE_BYTES = 30_000_000
STREAMED = FILE_BYTES + 17  # not a multiple of anything
SHORT = ("--request-timeout-s", "1")
# "-T -" reads its input and nothing else meanwhile, "-T ." looks for the answer, too.
INCOMPLETE = 18  # curl's exit status for an answer that is cut off


class Held:
    """A held TCP connection, and its other end here."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self._daemon = daemon
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            made = daemon.request("POST", "/v1/sockets", {"connect": f"127.0.0.1:{port}"})
            assert made.status == 201, made.body
            self.fd = made.json()["fd"]
            self.peer, _ = listener.accept()
        self.peer.settimeout(60)
        self.path = f"/v1/sockets/{self.fd}/stream"
        self.url = f"http://localhost{self.path}"

    def read_all(self) -> bytes:
        """Read to the end."""
        return hogs.await_end(self.peer)

    def read_in_background(self, found: dict[str, Any]) -> threading.Thread:
        """Read to the end beside the test; leaves ``found["digest"]`` and ``found["size"]``."""

        def read() -> None:
            found["digest"], found["size"] = digest_of(iter(lambda: self.peer.recv(1 << 20), b""))

        thread = threading.Thread(target=read)
        thread.start()
        return thread

    def waits(self) -> int:
        """How many requests wait."""
        return int(self._daemon.request("GET", "/v1/caller").json()["quota"]["waits"]["used"])


def digest_of(pieces: Iterator[bytes]) -> tuple[str, int]:
    """Hash what comes, and count it."""
    sha, size = hashlib.sha256(), 0
    for piece in pieces:
        sha.update(piece)
        size += len(piece)
    return sha.hexdigest(), size


@contextmanager
def held_in(daemon: DaemonProcess) -> Iterator[Held]:
    """Hold a connection for the block."""
    held = Held(daemon)
    with held.peer:
        yield held
    daemon.request("DELETE", f"/v1/sockets/{held.fd}")


@pytest.fixture
def held(daemon: DaemonProcess) -> Iterator[Held]:
    with held_in(daemon) as made:
        yield made


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of many bytes."""
    path: Path = tmp_path_factory.mktemp("streams") / "file"
    path.write_bytes(os.urandom(1 << 20) * (STREAMED >> 20) + os.urandom(STREAMED % (1 << 20)))
    return path


@contextmanager
def curl(daemon: DaemonProcess, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run curl beside the test, with pipes."""
    command = ["curl", "-sS", "-N", "--unix-socket", daemon.socket_path, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def put_head(path: str, length: int, *more: str) -> bytes:
    """Write the head of an upload."""
    lines = [f"PUT {path} HTTP/1.1", "Host: x", f"Content-Length: {length}", *more, "", ""]
    return "\r\n".join(lines).encode()


def pass_request_timeout(daemon: DaemonProcess) -> None:
    """Return when ``request_timeout_s`` is over: a request that began now and does not go on was refused."""
    with hogs.connected(daemon) as slow:
        slow.sendall(b"GET / HT")
        assert hogs.problem(hogs.await_end(slow))[0] == 408
