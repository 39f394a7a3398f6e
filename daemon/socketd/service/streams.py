"""Streams: everything that comes until the end, and everything that is brought, on sockets of the caller."""

from __future__ import annotations

import logging
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd.core import streaming
from socketd.core.streaming import OneWait
from socketd.errors import ShuttingDownError, UploadInterruptedError, WouldBlockError
from socketd.service.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from socketd.core.entry import Entry
    from socketd.core.seams import Closer, Pause
    from socketd.core.streaming import Upload
    from socketd.service.call import Call
    from socketd.service.ground import Ground
    from socketd.service.operations import Operations
    from socketd.service.uploads import Part

_TURN_S: Final = 0.002
"""How long one upload goes on before other requests have their turn."""

log = logging.getLogger(__name__)


class Writing:
    """A request that brings bytes: how it waits, and how far it is.

    Attributes:
        pause: The request's one wait; what the client is waited for by as well.
        upload: What the bytes are part of.
    """

    def __init__(self, entry: Entry, upload: Upload, part: Part, wait: OneWait, pause: Pause) -> None:
        self.pause = pause
        self.upload = upload
        self._entry = entry
        self._start = part.start
        self._brought = part.start
        self._wait = wait

    @property
    def sent(self) -> int:
        """How many bytes of this request the kernel has, by it or by an earlier one of the upload."""
        return max(0, min(self.upload.position, self._brought) - self._start)

    @property
    def position(self) -> int:
        """How many bytes of the upload the kernel has."""
        return self.upload.position

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Have the pause woken by the socket's end while the block waits for the client.

        Raises:
            KernelRefusedError, ClosedMeanwhileError: After the block: nothing can be sent any more.
        """
        with streaming.watched(self._entry, self.pause):
            yield
        streaming.check_sendable(self._entry)

    def run(self, read: Callable[[], bytes], timeout_s: float | None) -> None:
        """Send what ``read`` gives until it gives nothing.

        Raises:
            KernelRefusedError, WaitTimeoutError, ClosedMeanwhileError, ClientGoneError: ``sent`` tells how
                far it came.
            UploadInterruptedError: So it does, and no other request of the upload will send more.
            ShuttingDownError: Nothing of the upload was sent, by any request.
        """
        try:
            streaming.check_sendable(self._entry)
            turn_ends = time.monotonic() + _TURN_S
            while piece := read():
                start = self._brought
                self._brought += len(piece)
                streaming.send(self._entry, self.upload, start, piece, self._wait.patience(timeout_s))
                if time.monotonic() >= turn_ends:  # of what is read at once thousands may be pieces of a byte
                    self._wait.give_way()
                    turn_ends = time.monotonic() + _TURN_S
        except ShuttingDownError as error:
            self.upload.is_over = True
            if self.upload.position:
                raise UploadInterruptedError from error
            raise


@dataclass(frozen=True, slots=True)
class Reading:
    """A request for everything that comes.

    Attributes:
        pause: The request's one wait; what the client is waited for by as well.
        closer: Closes descriptors that come with the bytes.
    """

    entry: Entry
    wait: OneWait
    pause: Pause
    closer: Closer

    def pieces(self, timeout_s: float | None) -> Generator[bytes, None, None]:
        """Give pieces until the end of the stream; an empty one first, if nothing is there yet.

        Raises:
            KernelRefusedError, WaitTimeoutError, ClosedMeanwhileError, ClientGoneError: It ended otherwise.
        """
        try:
            piece = self._receive(0)
        except WouldBlockError:
            yield b""
            piece = self._receive(timeout_s)
        while piece:
            yield from self._delivered(piece)
            piece = self._receive(timeout_s)

    def _receive(self, timeout_s: float | None) -> bytes:
        return streaming.receive(self.entry, self.wait.patience(timeout_s), self.closer)

    def _delivered(self, piece: bytes) -> Iterator[bytes]:
        try:
            yield piece
        except GeneratorExit:
            log.warning(
                "socket %s: the reader of its stream left; up to %d bytes that were taken are lost",
                self.entry.fd,
                len(piece),
            )
            raise


class Streams:
    """The two endless operations.

    Args:
        ground: What it stands on.
        operations: Shuts a socket when an upload is to be its last.
    """

    def __init__(self, ground: Ground, operations: Operations) -> None:
        self._table = ground.table
        self._operations = operations
        self._uploads = Uploads(ground.clock)

    @contextmanager
    def reading(self, call: Call, reference: str) -> Iterator[Reading]:
        """Begin to read.

        Raises:
            KernelRefusedError: EOPNOTSUPP, it is no stream socket.
            TooManyWaitsError, QuotaError, ShuttingDownError: It cannot wait.
        """
        entry = self._found(call, reference)
        with call.waiter.pause() as pause:
            yield Reading(entry, OneWait(call.waiter, pause), pause, self._table.closer)

    @contextmanager
    def writing(self, call: Call, reference: str, part: Part) -> Iterator[Writing]:
        """Begin to send, or go on.

        Raises:
            KernelRefusedError: EOPNOTSUPP, it is no stream socket.
            UploadOffsetError: Bytes before these are missing.
            InvalidRequestError: The key is another upload's.
            TooManyWaitsError, QuotaError, ShuttingDownError: It cannot wait.
        """
        entry = self._found(call, reference)
        with self._uploads.begun(call, part, entry) as upload, call.waiter.pause() as pause:
            yield Writing(entry, upload, part, OneWait(call.waiter, pause), pause)

    def position(self, call: Call, reference: str, key: str) -> int | None:
        """Tell how many bytes of an upload the kernel has; ``None`` of one that is not known."""
        return self._uploads.position(call, key, self._found(call, reference))

    def shut(self, call: Call, reference: str, writing: Writing) -> None:
        """Shut the socket for writing after an upload, once."""
        if not writing.upload.is_shut:
            self._operations.shutdown(call, reference, socket.SHUT_WR)
            writing.upload.is_shut = True

    def _found(self, call: Call, reference: str) -> Entry:
        entry = call.find(self._table, reference)
        streaming.require_stream(entry)
        return entry
