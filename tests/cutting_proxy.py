"""A relay between the SDK and the daemon that cuts a connection after exactly so many bytes.

Where ``faulty_proxy`` draws from a seed, this one is told; so every place of a message can be tried. It knows
nothing of HTTP, and descriptors go through it.
"""

from __future__ import annotations

import array
import contextlib
import enum
import fcntl
import select
import socket
import struct
import termios
import threading
from typing import TYPE_CHECKING, Self

from tests.faulty_proxy import JOIN_S
from tests.system.place import await_true

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

PIECE = 65536
_RIGHTS = (socket.SOL_SOCKET, socket.SCM_RIGHTS)
_ROOM = socket.CMSG_SPACE(253 * array.array("i").itemsize)  # SCM_MAX_FD


class Way(enum.Enum):
    """Where bytes go."""

    TO_DAEMON = "to the daemon"
    TO_CLIENT = "to the client"


Place = tuple[Way, int]
"""After so many bytes that way."""


class CuttingProxy:
    """Listens until the block ends.

    Args:
        daemon_path: The daemon's Unix socket.
        front: Where to listen.

    Attributes:
        carried: How many bytes went, since ``cut_after`` was last called.
        connections: How many were made.
    """

    def __init__(self, daemon_path: str, front: Path) -> None:
        self.url = f"unix://{front}"
        self.carried = dict.fromkeys(Way, 0)
        self.connections = 0
        self._daemon_path = daemon_path
        self._place: Place | None = None
        self._lock = threading.Lock()
        self._live: set[_Pair] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(front))
        self._listener.listen(64)
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(JOIN_S)
        self._listener.close()
        self.cut_now()
        for thread in self._threads:
            thread.join(JOIN_S)

    def cut_after(self, place: Place | None) -> None:
        """Cut one connection when so many bytes have gone one way, before the next; ``None``: cut none."""
        with self._lock:
            self.carried = dict.fromkeys(Way, 0)
            self._place = place

    def cut_now(self) -> None:
        """Cut all connections that there are."""
        with self._lock:
            for pair in self._live:
                pair.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # EINVAL: it was shut
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as daemon, contextlib.suppress(OSError):
            daemon.connect(self._daemon_path)
            pair = _Pair(client, daemon)
            with self._lock:
                self.connections += 1
                self._live.add(pair)
            try:
                while self._carry(pair):
                    pass
            finally:
                with self._lock:
                    self._live.discard(pair)

    def _carry(self, pair: _Pair) -> bool:
        """Carry the next piece; tell whether the connection goes on."""
        for way in pair.ready():
            source, to = pair.ends(way)
            with _received(source, PIECE, socket.MSG_PEEK) as (data, descriptors):
                room = self._room(way, len(data))
                if room < len(data) or not data:
                    to.sendall(data[:room])
                    return False
                # They came with the last bytes: what a recvmsg gives ends with those that have some.
                to.sendall(data[:-1])
                to.sendmsg([data[-1:]], [(*_RIGHTS, descriptors)] if descriptors else [])
                if descriptors:
                    _await_read(to)
            with _received(source, len(data)):
                pass
        return True

    def _room(self, way: Way, size: int) -> int:
        """Say how many bytes of a piece may go."""
        with self._lock:
            before, self.carried[way] = self.carried[way], self.carried[way] + size
            if self._place is None or self._place[0] is not way or self._place[1] >= before + size:
                return size
            _, after = self._place
            self._place = None
            return after - before


class _Pair:
    """A client's connection, and the one to the daemon."""

    def __init__(self, client: socket.socket, daemon: socket.socket) -> None:
        self._client = client
        self._daemon = daemon

    def ends(self, way: Way) -> tuple[socket.socket, socket.socket]:
        """Return where bytes come from, and where they go."""
        return (self._client, self._daemon) if way is Way.TO_DAEMON else (self._daemon, self._client)

    def ready(self) -> list[Way]:
        """Wait for bytes."""
        found, _, _ = select.select([self._client, self._daemon], [], [])
        return [way for way in Way if self.ends(way)[0] in found]

    def cut(self) -> None:
        for sock in (self._client, self._daemon):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _await_read(sock: socket.socket) -> None:
    """Wait until the other end has read: the daemon lets go of what it hands out when that is read here."""

    def is_read() -> bool:
        (left,) = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))
        return left == 0

    await_true(is_read, lambda: "descriptors are not read")


@contextlib.contextmanager
def _received(sock: socket.socket, size: int, flags: int = 0) -> Iterator[tuple[bytes, array.array[int]]]:
    """Receive bytes and the descriptors that come with them, which are closed at the block's end."""
    data, control, _, _ = sock.recvmsg(size, _ROOM, flags)
    descriptors = array.array("i", b"".join(each for *kind, each in control if (*kind,) == _RIGHTS))
    try:
        yield data, descriptors
    finally:
        for each in descriptors:
            socket.close(each)
