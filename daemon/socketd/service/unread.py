"""What was sent to a client and has not arrived: how long one waits for that before the connection is cut."""

from __future__ import annotations

import time

from socketd.kernel import facts


class Unread:
    """Bytes in a connection's send queue, and a deadline that moves on whenever some of them have gone.

    A reset takes back what has not arrived. A client that is slow shall have it, one that reads nothing not.

    Args:
        fd: Of the connection; not owned.
        patience_s: How long nothing of it may go.
    """

    def __init__(self, fd: int, patience_s: float) -> None:
        self._fd = fd
        self._patience_s = patience_s
        self._size = 0
        self._deadline = 0.0
        self.count()

    def count(self) -> int:
        """Say how many there are now."""
        size = facts.queues(self._fd).unsent_bytes or 0
        if not self._deadline or size < self._size:
            self._deadline = time.monotonic() + self._patience_s
        self._size = size
        return size

    @property
    def is_over(self) -> bool:
        """Whether that was long enough."""
        self.count()
        return time.monotonic() >= self._deadline
