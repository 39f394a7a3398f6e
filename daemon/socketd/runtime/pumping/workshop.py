"""What all directions of one pump share: pipes, and the memory that bytes are copied through."""

from __future__ import annotations

import _socket
from typing import TYPE_CHECKING, Final

from socketd.core import ancillary
from socketd.runtime.pumping.pipes import Pipes

if TYPE_CHECKING:
    from socketd.core.seams import Closer
    from socketd.runtime.pumping.side import Side

COPY_BYTES: Final = 1 << 18
"""Of the memory: what stays in a core's own cache."""
SMALL_BYTES: Final = 1 << 12
MOST_KEPT_BYTES: Final = 1 << 24
"""Of bytes that wait in memory for slow sinks; beyond that they are taken in small pieces."""


class Workshop:
    """Used by one thread, but for growing and closing ``pipes``.

    Attributes:
        pipes: Lent to whoever has bytes in hand.
        memory: What is received into it must be sent or moved elsewhere before the next is.
        kept_bytes: How many were moved elsewhere, and are there still.
    """

    def __init__(self, closer: Closer) -> None:
        """Have ``closer`` close what somebody sends along with bytes."""
        self.pipes = Pipes()
        self.memory = bytearray(COPY_BYTES)
        self.kept_bytes = 0
        self._view = memoryview(self.memory)
        self._closer = closer

    def receive(self, side: Side) -> memoryview:
        """Receive into ``memory``, without waiting; empty at the end of file.

        Raises:
            OSError: EAGAIN, ECONNRESET, …
        """
        size = COPY_BYTES if self.kept_bytes < MOST_KEPT_BYTES else SMALL_BYTES
        room = self._view[:size]
        if not side.is_unix:
            return self._view[: side.sock.recv_into(room, 0, _socket.MSG_DONTWAIT)]
        # Descriptors cannot go on with the bytes. Discarded by the kernel in recv(2), one that lingers would
        # keep this thread waiting.
        count, control, _, _ = side.sock.recvmsg_into(
            [room], ancillary.ROOM, _socket.MSG_DONTWAIT | ancillary.CLOEXEC
        )
        ancillary.close_all(control, self._closer)
        return self._view[:count]
