"""The packets of one connection: those that came, one at a time, and those that wait to be sent."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from socketd.keeper import protocol, sending
from socketd.keeper.sending import Sent
from socketd.kernel import scm

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from socketd.keeper.protocol import FromKeeper

MOST_UNREAD: Final = 64
"""Packets a daemon may leave unread before it is read no further."""


class Packets:
    """A connection to a daemon; nothing here waits.

    Attributes:
        stuck: What became of the last packet; ``FULL`` or ``LATER`` while some wait.
    """

    def __init__(self, sock: socket.socket, highest_fd: int) -> None:
        """Take ownership of ``sock``; a descriptor above ``highest_fd`` is one too many."""
        self._sock = sock
        self._highest_fd = highest_fd
        self._unsent: deque[bytes] = deque()
        self._sequence = 0
        self.stuck = Sent.YES
        self._has_reader = True

    @property
    def fd(self) -> int:
        """What to poll; -1 when it is closed."""
        return self._sock.fileno()

    @property
    def is_full(self) -> bool:
        """Whether the daemon has so much to read that it is to be read no further."""
        return len(self._unsent) >= MOST_UNREAD

    def receive(self) -> scm.Message | None:
        """Return the next packet, without data at the end; ``None`` where there is none yet.

        Raises:
            TruncatedError: We are out of descriptors, or so close to it that our own work is in danger.
        """
        while True:
            try:
                arrived = scm.receive(self.fd, protocol.MOST_BYTES + 1)
            except BlockingIOError:
                return None
            except ConnectionResetError:
                continue  # said once if it died with answers unread; what it had sent is still there
            if arrived.descriptors and max(arrived.descriptors) > self._highest_fd:
                scm.close(arrived.descriptors)
                raise scm.TruncatedError
            return arrived

    def say(self, message: FromKeeper) -> None:
        """Send ``message``, or queue it where there is no room."""
        self._sequence = protocol.following(self._sequence)
        if self._has_reader:
            self._unsent.append(protocol.encode(message, self._sequence))
            self.flush()

    def say_now(self, message: FromKeeper, descriptors: Sequence[int]) -> int | None:
        """Send ``message`` with ``descriptors`` and return its sequence; ``None`` where there is no room."""
        sequence = protocol.following(self._sequence)
        if not self.flush() or not self._send(protocol.encode(message, sequence), descriptors):
            return None
        self._sequence = sequence
        return sequence

    def flush(self) -> bool:
        """Send what is queued; return whether all of it went."""
        while self._unsent:
            if not self._send(self._unsent[0]):
                return False
            self._unsent.popleft()
        return True

    def discard(self) -> None:
        """Read away what came: with packets unread, our end would look like ECONNRESET to the daemon."""
        for _ in range(MOST_UNREAD):
            try:
                arrived = scm.receive(self.fd, 1)
            except OSError:
                return
            scm.close(arrived.descriptors)
            if not arrived.data:
                return

    def close(self) -> None:
        """Close the connection; what is said after that is said to nobody."""
        self._has_reader = False
        self._unsent.clear()
        self._sock.close()

    def _send(self, packet: bytes, descriptors: Sequence[int] = ()) -> bool:
        """Return whether it is off our hands: sent, or nobody will ever read it."""
        self.stuck = sending.send(self.fd, packet, descriptors) if self._has_reader else Sent.YES
        if self.stuck in {Sent.FULL, Sent.LATER}:
            return False
        self._has_reader = self._has_reader and self.stuck is Sent.YES
        return True
