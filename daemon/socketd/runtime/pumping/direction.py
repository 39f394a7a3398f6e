"""One direction of a flow: bytes are taken from one socket, by splice(2) or a copy, and given to another."""

from __future__ import annotations

import _socket
import errno
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from socketd.runtime.pumping.pipes import Pipe
    from socketd.runtime.pumping.side import Side
    from socketd.runtime.pumping.workshop import Workshop

TURN_BYTES: Final = 1 << 22
"""How much one direction moves before the others have their turn: one or two milliseconds' work."""
BULK_BYTES: Final = 1 << 14
"""What is taken at a time of less than this is quicker copied: two system calls less, and no pipe."""
_DONT_WAIT: Final = _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL
_SPLICE: Final = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
# No pipe can be had from this kind of socket, or the system calls are filtered: then the bytes are copied.
_NO_SPLICE: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})


class Direction:
    """Bytes from ``source`` to ``sink``. Used by the pump's thread alone, but for ``moved``.

    Nothing is taken while something waits to be given: so what a flow has in hand is bounded, and a pipe is
    borrowed only while bytes are in it.

    Attributes:
        moved: Bytes that the sink's kernel buffer has got.
        undelivered: Bytes that were taken, and thrown away.
        is_over: Nothing is taken and given any more.
        is_last: What the source has now is the last of it.
        is_finishing: Nothing more is taken.
        is_queued: It waits for its turn.
    """

    __slots__ = (
        "_in_pipe",
        "_is_bulk",
        "_kept",
        "_pipe",
        "_rest",
        "_workshop",
        "is_finishing",
        "is_last",
        "is_over",
        "is_queued",
        "moved",
        "sink",
        "source",
        "undelivered",
    )

    def __init__(self, source: Side, sink: Side, workshop: Workshop, early: bytes = b"") -> None:
        """Begin with ``early``, which is in hand already."""
        self.source = source
        self.sink = sink
        self._workshop = workshop
        self._rest = memoryview(early)
        self._pipe: Pipe | None = None
        self._in_pipe = self._kept = 0
        self.moved = self.undelivered = 0
        self.is_over = self.is_last = self.is_finishing = self.is_queued = self._is_bulk = False

    @property
    def in_hand(self) -> int:
        """Bytes that were taken, and not given yet."""
        return self._in_pipe + len(self._rest)

    @property
    def can_move(self) -> bool:
        """Whether a turn may come to something."""
        if self.is_over:
            return False
        return self.sink.is_writable if self.in_hand else self._is_worth_a_look

    @property
    def _is_worth_a_look(self) -> bool:
        return self.source.is_readable or self.source.is_at_end or self.is_finishing or self.is_last

    def turn(self) -> None:
        """Move what can be moved now, up to ``TURN_BYTES``.

        Raises:
            SideError: One of the two sockets failed.
        """
        before = self.moved
        while not self.is_over and self.moved - before < TURN_BYTES:
            if self.in_hand:
                self._give()
                if self.in_hand:
                    break  # the sink's buffer is full
            elif self.is_finishing or self.source.is_at_end:
                self._end()
            elif not self.source.is_readable:
                self.is_over = self.is_last
                break
            else:
                self._take()
        self._keep()

    def throw_away(self) -> None:
        """End, and count what is in hand as undelivered."""
        self.undelivered += self.in_hand
        if self._pipe is not None:
            self._pipe.read(self._in_pipe)
            self._return_pipe()
        self._rest = memoryview(b"")
        self._keep()
        self.is_over = True

    def _end(self) -> None:
        """Pass the source's end of file on, unless it is us who end."""
        self.is_over = True
        is_ours = self.is_finishing or self.is_last
        # A guest's end of file and its leaving come in one moment; a half-close is one without the other.
        if not is_ours and not (self.source.is_guest and self.source.has_left()):
            self.sink.end_sending()

    # --- taking --------------------------------------------------------------------------------------------

    def _take(self) -> None:
        """Take what is there, to be given at once."""
        pipe = self._workshop.pipes.borrow() if self._is_bulk and self.source.can_splice() else None
        if pipe is None:
            self._take_copy()
            return
        self._pipe = pipe
        try:
            self._in_pipe = os.splice(self.source.fd, pipe.writer, pipe.size, flags=_SPLICE)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno not in _NO_SPLICE:
                raise self.source.failed(error, "splice") from error
            self.source.is_spliced = False
        finally:
            if not self._in_pipe:
                self._return_pipe()
        if self._in_pipe:
            self._is_bulk = self._in_pipe >= BULK_BYTES
        else:
            # Urgent data stops splice for good, whatever stands behind it, and looks like an end where the
            # peer has ended (__tcp_read_sock of net/ipv4/tcp.c). recv passes it over, and knows the end.
            self._take_copy()

    def _take_copy(self) -> None:
        try:
            self._rest = self._workshop.receive(self.source)
        except BlockingIOError:
            self.source.is_readable = False
        except OSError as error:
            raise self.source.failed(error, "recv") from error
        else:
            self.source.is_at_end = not self._rest
            self._is_bulk = len(self._rest) >= BULK_BYTES

    # --- giving --------------------------------------------------------------------------------------------

    def _give(self) -> None:
        """Give what the sink has room for."""
        try:
            if self._in_pipe and self._pipe is not None and self._has_spliced(self._pipe):
                return
            count = self.sink.sock.send(self._rest, _DONT_WAIT)
        except BlockingIOError:
            self.sink.is_writable = False
        except OSError as error:
            raise self.sink.failed(error, "send") from error
        else:
            self.moved += count
            self._rest = self._rest[count:]

    def _has_spliced(self, pipe: Pipe) -> bool:
        """Give out of the pipe; ``False`` if that cannot be, and its bytes are in memory now."""
        try:
            if not self.sink.can_wait():
                count = os.splice(pipe.reader, self.sink.fd, self._in_pipe, flags=_SPLICE)
                self.moved += count
                self._in_pipe -= count
                if not self._in_pipe:
                    self._return_pipe()
                return True
        except OSError as error:
            if error.errno not in _NO_SPLICE:
                raise
        self._rest = memoryview(pipe.read(self._in_pipe))
        self._return_pipe()
        return False

    def _return_pipe(self) -> None:
        if self._pipe is not None:
            self._workshop.pipes.give_back(self._pipe)
        self._pipe = None
        self._in_pipe = 0

    def _keep(self) -> None:
        """Own what stays in hand: the memory it was received into is everybody's."""
        if self._rest.obj is self._workshop.memory:
            self._rest = memoryview(bytes(self._rest))
        self._workshop.kept_bytes += len(self._rest) - self._kept
        self._kept = len(self._rest)
