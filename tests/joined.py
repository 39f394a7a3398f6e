"""Two socket pairs whose inner ends are held: what a test joins, and what it sees at the outer ends."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from typing import TYPE_CHECKING

from socketd.core.owner import Owner
from socketd.core.table import Origin

if TYPE_CHECKING:
    from typing import Any

    from socketd.core.entry import Entry
    from socketd.service.forwarding import Forward
    from tests.held import Held

PATIENCE_S = 30.0


class Ends:
    """Two Unix pairs: ``first`` and ``second`` are held, ``left`` and ``right`` are a test's own."""

    def __init__(self, held: Held) -> None:
        self.held = held
        self.left, inner_left = socket.socketpair()
        self.right, inner_right = socket.socketpair()
        for end in (self.left, self.right):
            end.settimeout(PATIENCE_S)
        self.first, self.second = (
            held.table.adopt(end.detach(), Origin(Owner(0))) for end in (inner_left, inner_right)
        )

    def join(self, on_end: Any = "keep", **more: Any) -> Forward:
        """Begin a forward between the two."""
        return self.held.service.forwards.create(
            self.held.call(**more), self.first.reference, self.second.reference, on_end
        )

    def ended(self, forward: Forward) -> Forward:
        """Wait for its end."""
        found = self.held.service.forwards.wait(self.held.call(), forward.id, PATIENCE_S)
        assert found.flow is None
        return found

    def close(self) -> None:
        """Close the outer ends."""
        self.left.close()
        self.right.close()


def read(sock: socket.socket, count: int) -> bytes:
    """Read so many bytes, fewer only before the end of file."""
    found = bytearray()
    while len(found) < count and (piece := sock.recv(count - len(found))):
        found += piece
    return bytes(found)


def unread(entry: Entry) -> int:
    """Count what lies in a held socket's receive queue."""
    answer = fcntl.ioctl(entry.fd, termios.FIONREAD, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])


def fill(sock: socket.socket) -> int:
    """Send until nothing more is taken."""
    sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
    sent = 0
    try:
        while True:
            sent += sock.send(b"x" * 65536)
    except BlockingIOError:
        return sent
