"""Bytes of a stream socket that go on and on: piece by piece, in one wait for all of them."""

from __future__ import annotations

import errno
import math
import socket
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd.core import ancillary, polling
from socketd.core.hints import refused
from socketd.core.seams import EDGE
from socketd.core.transfer import is_stream
from socketd.core.waiting import Patience, until_done
from socketd.errors import ClosedMeanwhileError, KernelRefusedError, ShuttingDownError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from socketd.core.entry import Entry
    from socketd.core.seams import Closer, Pause, Waiter

PIECE_BYTES: Final = 256 * 1024
"""What one stream keeps in memory at most, each way."""
_FLAGS: Final = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


@dataclass(slots=True, eq=False)
class Upload:
    """Bytes that are to go to one socket once, however often they come.

    Attributes:
        position: How many of them the kernel has.
        length: How many there are, as far as a request has said; no other may say otherwise.
        is_shut: The socket was shut for writing after the last one.
        is_over: The daemon goes away: no request sends any more of it, so that ``position`` is final.
        running: Requests that are bringing some.
        used_at: When one came last, in seconds of the monotonic clock.
    """

    position: int = 0
    length: int | None = None
    is_shut: bool = False
    is_over: bool = False
    running: int = 0
    used_at: float = 0.0


class OneWait:
    """How a request waits again and again in one pause (``core.seams.Waiter``): it counts as one wait.

    Args:
        waiter: The request's own.
        pause: One that it has begun.
    """

    __slots__ = ("_pause", "_waiter", "check", "give_way")

    def __init__(self, waiter: Waiter, pause: Pause) -> None:
        self._waiter = waiter
        self._pause = pause
        self.check = waiter.check
        self.give_way = waiter.give_way

    def pause(self) -> AbstractContextManager[Pause]:
        """Return the one there is; the block's end does not end it."""
        return nullcontext(self._pause)

    def half_open(self) -> Waiter:
        """Return the request's own for that: another wait."""
        return self._waiter.half_open()

    def patience(self, timeout_s: float | None) -> Patience:
        """Start the clock for the next piece; ``None`` waits as long as the client does."""
        if timeout_s is None:
            return Patience(self, math.inf, math.inf)
        return Patience(self, timeout_s, time.monotonic() + timeout_s)


def require_stream(entry: Entry) -> None:
    """Return if the socket carries bytes without message boundaries.

    Raises:
        KernelRefusedError: EOPNOTSUPP.
    """
    if not is_stream(entry):
        error = OSError(errno.EOPNOTSUPP, "")
        hint = "its messages would run together: use recv and send, or a WebSocket tunnel"
        raise KernelRefusedError(error, "stream", hint=hint)


def receive(entry: Entry, patience: Patience, closer: Closer) -> bytes:
    """Wait for bytes and take what is there, a piece at most; nothing is the end. Descriptors are closed.

    Raises:
        KernelRefusedError: ENOTCONN, ECONNRESET, …
        WouldBlockError, WaitTimeoutError, ClosedMeanwhileError, ClientGoneError: Nothing was taken.
    """

    def take() -> bytes | None:
        try:
            return ancillary.receive_bytes(entry.sock, PIECE_BYTES, closer)
        except BlockingIOError:
            return None
        except OSError as error:
            raise refused(error, "recv") from error

    return until_done(entry, polling.POLLIN, "recv", patience, take)


def send(entry: Entry, upload: Upload, start: int, piece: bytes, patience: Patience) -> None:
    """Send a piece of an upload, as far as no other request has sent it meanwhile.

    Looking where the upload is, sending, and noting where it is then, are one step: nothing else runs in
    between. So two requests that bring the same bytes at the same time send each of them once.

    Args:
        entry: Where they go.
        upload: Is brought up to date with each byte that goes.
        start: The position of the first byte of ``piece``; not above ``upload.position``.
        piece: The bytes.
        patience: How long there may be no room for any of it.

    Raises:
        KernelRefusedError: EPIPE, ECONNRESET, …
        WouldBlockError, WaitTimeoutError, ClosedMeanwhileError, ClientGoneError, ShuttingDownError: From the
            wait.
    """
    view = memoryview(piece)
    end = start + len(view)

    def attempt() -> bool | None:
        if upload.is_over:
            raise ShuttingDownError
        try:
            while upload.position < end:
                upload.position += entry.sock.send(view[upload.position - start :], _FLAGS)
        except BlockingIOError:
            return None
        except OSError as error:
            raise refused(error, "send") from error
        return True

    if upload.position < end:
        until_done(entry, polling.POLLOUT, "send", patience, attempt)


@contextmanager
def watched(entry: Entry, pause: Pause) -> Iterator[None]:
    """Wake ``pause`` when the socket is closed or its connection breaks, whatever else it waits for."""
    entry.watchers.add(pause)
    try:
        if not entry.closed:
            # The edge: POLLERR may hold for what is no failure (a timestamp in the error queue).
            pause.arm(entry.fd, EDGE)
        yield
    finally:
        entry.watchers.discard(pause)
        if not entry.closed:
            pause.disarm(entry.fd)


def check_sendable(entry: Entry) -> None:
    """Return if bytes can be sent, now or when there is room.

    Raises:
        ClosedMeanwhileError: The socket was closed.
        KernelRefusedError: ENOTCONN, EPIPE, ECONNRESET.
    """
    if entry.closed:
        raise ClosedMeanwhileError(entry.reference, "send")
    broken = polling.now(entry.fd, 0)
    if not broken & (polling.POLLERR | polling.POLLHUP):
        return
    try:
        entry.sock.send(b"", _FLAGS)
    except BlockingIOError:
        return
    except OSError as error:
        raise refused(error, "send") from error
    if broken & polling.POLLHUP:  # a Unix socket whose peer has gone says so to a byte only
        raise refused(OSError(errno.EPIPE, ""), "send")
