"""The end of a way that is a program's: it pours bytes in, drains them, or asks and is answered."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import struct
from typing import TYPE_CHECKING, Any, Final, Protocol

import joints
from wire import request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from processes import Daemon
    from wire import Wire

    from socketd_client import Socket

CHUNK: Final = 128 * 1024
"""What a program writes and reads at a time at a plain end; iperf3's default."""
COPIED: Final = 64 * 1024
"""What ``shutil.copyfileobj`` reads at a time."""
_HEAD_END: Final = b"\r\n\r\n"
_LENGTHS: Final = {126: struct.Struct(">H"), 127: struct.Struct(">Q")}


class Near(Protocol):
    """An end that can be measured."""

    def pour(self, size: int) -> None:
        """Send so many bytes."""

    def drain(self, size: int) -> None:
        """Receive so many bytes."""

    def ask(self, word: bytes) -> None:
        """Send a word and receive as many bytes."""


class Bare:
    """A plain socket."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        if isinstance(sock, socket.socket) and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pour(self, size: int) -> None:
        """Send so many bytes."""
        chunk = memoryview(bytes(CHUNK))
        while size > 0:
            size -= self._sock.send(chunk[:size])

    def drain(self, size: int) -> None:
        """Receive so many bytes."""
        buffer = bytearray(CHUNK)
        while size > 0:
            count = self._sock.recv_into(buffer)
            if not count:
                raise RuntimeError(f"{size} bytes are missing")
            size -= count

    def ask(self, word: bytes) -> None:
        """Send a word and receive as many bytes."""
        self._sock.sendall(word)
        left = len(word)
        while left:
            left -= len(self._sock.recv(left))


class Sdk(Bare):
    """A handle of the SDK.

    Args:
        sock: The handle.
        piece: How much goes in one call.
    """

    def __init__(self, sock: Socket, piece: int) -> None:
        super().__init__(sock)
        self._piece = piece

    def pour(self, size: int) -> None:
        """Send so many bytes."""
        piece = memoryview(bytes(self._piece))
        while size > 0:
            self._sock.sendall(piece[:size])
            size -= len(piece[:size])

    def drain(self, size: int) -> None:
        """Receive so many bytes."""
        buffer = bytearray(self._piece)
        while size > 0:
            size -= self._sock.recv_into(buffer)


class SdkFile(Bare):
    """A file of a handle of the SDK, with the buffer it has by default."""

    def drain(self, size: int) -> None:
        """Receive so many bytes, as ``shutil.copyfileobj`` does."""
        with self._sock.makefile("rb") as file:
            while size > 0 and (data := file.read(COPIED)):
                size -= len(data)
        if size > 0:
            raise RuntimeError(f"{size} bytes are missing")


class Calls(Bare):
    """A request to send, and one to receive."""

    def __init__(self, wire: Wire, target: str) -> None:
        super().__init__(wire.sock)
        self._wire = wire
        self._target = target
        self._receive = request("POST", f"{target}/recv")

    def ask(self, word: bytes) -> None:
        """Send a word and receive as many bytes."""
        self._wire.ask(request("POST", f"{self._target}/send", word))
        left = len(word)
        while left:
            left -= len(self._wire.ask(self._receive).body)


class Put(Bare):
    """The body of a PUT of a stream."""

    def __init__(self, wire: Wire, target: str) -> None:
        super().__init__(wire.sock)
        self._wire = wire
        self._target = target

    def pour(self, size: int) -> None:
        """Send so many bytes."""
        head = f"PUT {self._target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n"
        self._wire.send(f"{head}Content-Type: application/octet-stream\r\n\r\n".encode())
        super().pour(size)
        self._wire.read(200)


class Get(Bare):
    """The answer to a GET of a stream, in chunks."""

    def __init__(self, wire: Wire, target: str) -> None:
        super().__init__(wire.sock)
        self._wire = wire
        wire.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def drain(self, size: int) -> None:
        """Receive so many bytes, and what frames them; that is some twenty bytes to 64 KiB or more."""
        super().drain(size)


class Frames(Bare):
    """WebSocket messages that come; RFC 6455, 5.2."""

    def drain(self, size: int) -> None:
        """Receive so many bytes of content."""
        with self._sock.makefile("rb", buffering=4 * CHUNK) as file:
            while size > 0:
                length = file.read(2)[1]
                if length in _LENGTHS:
                    (length,) = _LENGTHS[length].unpack(file.read(_LENGTHS[length].size))
                size -= len(file.read(length))

    def ask(self, word: bytes) -> None:
        """Send a masked message and receive one."""
        self._sock.sendall(bytes((0x82, 0x80 | len(word))) + bytes(4) + word)
        left = 2 + len(word)
        while left:
            left -= len(self._sock.recv(left))


@contextlib.contextmanager
def put(daemon: Daemon, listener: socket.socket) -> Iterator[tuple[Near, socket.socket]]:
    """Write by one PUT."""
    with joints.held(daemon, listener) as (_, near, far), daemon.wire() as wire:
        yield Put(wire, f"/v1/sockets/{near.fd}/stream"), far


@contextlib.contextmanager
def get(daemon: Daemon, listener: socket.socket) -> Iterator[tuple[Near, socket.socket]]:
    """Read by one GET."""
    with joints.held(daemon, listener) as (_, near, far), daemon.wire() as wire:
        yield Get(wire, f"/v1/sockets/{near.fd}/stream"), far


@contextlib.contextmanager
def by_sdk(daemon: Daemon, piece: int, listener: socket.socket) -> Iterator[tuple[Near, socket.socket]]:
    """Call sendall and recv_into of the SDK's handle."""
    with joints.held(daemon, listener) as (_, near, far):
        yield Sdk(near, piece), far


@contextlib.contextmanager
def by_file(daemon: Daemon, listener: socket.socket) -> Iterator[tuple[Near, socket.socket]]:
    """Read a file of the SDK's handle."""
    with joints.held(daemon, listener) as (_, near, far):
        yield SdkFile(near), far


@contextlib.contextmanager
def by_calls(daemon: Daemon, listener: socket.socket) -> Iterator[tuple[Near, socket.socket]]:
    """Call send and recv over a bare connection."""
    with joints.held(daemon, listener) as (_, near, far), daemon.wire() as wire:
        yield Calls(wire, f"/v1/sockets/{near.fd}"), far


@contextlib.contextmanager
def websocket(daemon: Daemon, listener: socket.socket) -> Iterator[tuple[Near, socket.socket]]:
    """Tunnel by WebSocket."""
    with joints.held(daemon, listener) as (_, near, far), daemon.wire() as wire:
        _upgrade(wire.sock, f"/v1/sockets/{near.fd}/tunnel", "socketd.v1")
        yield Frames(wire.sock), far


@contextlib.contextmanager
def websockify(listener: socket.socket) -> Iterator[tuple[Near, socket.socket]]:
    """Go through websockify."""
    with contextlib.ExitStack() as stack:
        relay = joints.relayed(joints.websockify, listener, greet=lambda near: _upgrade(near, "/", "binary"))
        near, far = stack.enter_context(relay)
        yield Frames(near), far


def _upgrade(sock: socket.socket, target: str, protocol: str) -> None:
    """Shake hands as a browser would (RFC 6455, 4.1)."""
    lines = (
        f"GET {target} HTTP/1.1",
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: {protocol}",
        "",
        "",
    )
    sock.sendall("\r\n".join(lines).encode())
    head = bytearray()
    while not head.endswith(_HEAD_END):  # byte by byte: a frame may be right behind
        head += sock.recv(1)
    if b" 101 " not in head[:20]:
        raise RuntimeError(f"no WebSocket: {bytes(head)!r}")
