"""A peer that is in the middle of a transfer for as long as a test wants."""

from __future__ import annotations

import hashlib
import random
import socket
import threading

PIECE_BYTES = 10_007  # a prime, so that no buffer ends where a piece does


class Sender(threading.Thread):
    """Goes on sending until it is told to finish, then ends its direction.

    Args:
        sock: Stays the caller's.
        seed: Of what it sends.

    Attributes:
        sent: The sum of everything sent, to be read after ``join``; ``total`` is its length.
        failure: Why it ended early, if it did.
    """

    def __init__(self, sock: socket.socket, seed: str) -> None:
        super().__init__(name=f"sender {seed}")
        self._sock = sock
        self._source = random.Random(seed)
        self._is_enough = threading.Event()
        self.sent = hashlib.sha256()
        self.total = 0
        self.failure: OSError | None = None

    def run(self) -> None:
        """Send; there is one piece at least."""
        try:
            self._send_piece()
            while not self._is_enough.is_set():
                self._send_piece()
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as failure:
            self.failure = failure

    def finish(self) -> None:
        """Have it end after the piece that it is sending."""
        self._is_enough.set()

    def _send_piece(self) -> None:
        piece = self._source.randbytes(PIECE_BYTES)
        self._sock.sendall(piece)
        self.sent.update(piece)
        self.total += len(piece)
