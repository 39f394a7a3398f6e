"""How bytes and messages are received: taken only when there is somebody to give them to."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from socketd.core import ancillary, options, polling
from socketd.core.address import Address
from socketd.core.hints import refused
from socketd.core.seams import EDGE
from socketd.core.transfer import is_stream
from socketd.core.waiting import until_done
from socketd.errors import (
    KernelRefusedError,
    OutOfDescriptorsError,
    QuotaError,
    WaitTimeoutError,
    WouldBlockError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from socketd.core.ancillary import Call, Came, Desk
    from socketd.core.control import ControlMessage
    from socketd.core.entry import Entry
    from socketd.core.waiting import Patience

    _Take = Callable[[], "Incoming | None"]

_T = TypeVar("_T")
_ENDED: Final = polling.POLLRDHUP | polling.POLLERR | polling.POLLHUP


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message, or some bytes of a stream.

    Attributes:
        data: What was received.
        length: The message's real length; more than ``len(data)`` if it was cut (MSG_TRUNC).
        source: Who sent it, if the family tells.
        flags: ``MSG_…`` as the kernel returned them.
        control: What came beside it, as far as that was asked for.
        closed: Descriptors that came and are not held.
    """

    data: bytes
    length: int
    source: Address | None
    flags: int
    control: tuple[ControlMessage, ...] = ()
    closed: int = 0

    @property
    def size_bytes(self) -> int:
        """How much of an answer it takes."""
        return len(self.data) + sum(len(each.data) for each in self.control)


_END: Final = Incoming(b"", 0, None, 0)


@dataclass(frozen=True, slots=True)
class Received:
    """What one call got; ``is_eof`` when the peer has ended its direction and nothing is left."""

    messages: tuple[Incoming, ...]
    is_eof: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a call to receive asks for.

    Attributes:
        size: At most so many bytes; of a message socket, of each message.
        flags: ``MSG_PEEK``, ``MSG_OOB``, ``MSG_WAITALL``, …
        most: So many messages, as far as they are there already.
        total_bytes: Stop after so many bytes over all messages.
        space: Room for the control messages of each, in bytes as ``recvmsg(2)`` counts them.
        desk: What becomes of descriptors that come.
    """

    size: int
    flags: int = 0
    most: int = 1
    total_bytes: int = sys.maxsize
    space: int = 0
    desk: Desk = field(default_factory=ancillary.Closing)


def receive(entry: Entry, wanted: Wanted, patience: Patience) -> Received:
    """Wait for something to be there, and take it.

    Raises:
        KernelRefusedError: ENOTCONN, ECONNRESET, EINVAL for MSG_OOB without urgent data, …
        WouldBlockError, WaitTimeoutError, ClosedMeanwhileError, ClientGoneError: Nothing was taken.

    Source: recv(2), tcp(7), udp(7).
    """
    if is_stream(entry):
        message = _receive_bytes(entry, wanted, patience)
        is_aside = bool(wanted.flags & (socket.MSG_OOB | socket.MSG_ERRQUEUE))
        return Received((message,), is_eof=not message.length and wanted.size > 0 and not is_aside)
    return _receive_messages(entry, wanted, patience)


def _events(flags: int) -> int:
    if flags & socket.MSG_OOB:
        return polling.POLLPRI
    return 0 if flags & socket.MSG_ERRQUEUE else polling.POLLIN  # POLLERR comes unasked


def _receive_bytes(entry: Entry, wanted: Wanted, patience: Patience) -> Incoming:
    if wanted.flags & socket.MSG_TRUNC:
        return _discard(entry, wanted, patience)
    flags = wanted.flags | socket.MSG_DONTWAIT
    # CPython's recv makes no system call for 0 bytes, and would not tell whether anything is there.
    is_plain = wanted.size > 0 and not wanted.space and entry.family != socket.AF_UNIX

    def take() -> Incoming | None:
        if is_plain:  # recvmsg gives an address, and CPython does not know those of every family
            data = _attempted(lambda: entry.sock.recv(wanted.size, flags))
            return None if data is None else Incoming(data, len(data), None, 0)
        came = _came(entry, wanted, lambda space, more: entry.sock.recvmsg(wanted.size, space, flags | more))
        return None if came is None else _incoming(came.got, len(came.got), came)

    if wanted.flags & socket.MSG_WAITALL and patience.timeout_s > 0:
        return _receive_all(entry, wanted, patience, take)
    return until_done(entry, _events(wanted.flags), "recv", patience, take)


def _attempted(call: Callable[[], _T]) -> _T | None:
    """Make a call; ``None`` if it would block."""
    try:
        return call()
    except BlockingIOError:
        return None
    except OSError as error:
        raise refused(error, "recv") from error


def _came(entry: Entry, wanted: Wanted, call: Call[_T]) -> Came[_T] | None:
    return _attempted(lambda: ancillary.receive(entry, call, wanted.space, wanted.desk))


def _incoming(data: bytes, length: int, came: Came[_T], source: Address | None = None) -> Incoming:
    return Incoming(data, length, source, came.flags, came.control, came.closed)


def _discard(entry: Entry, wanted: Wanted, patience: Patience) -> Incoming:
    """Receive with MSG_TRUNC, which makes TCP throw the bytes away and tell only how many (tcp(7)).

    CPython's recv would return that many bytes of a buffer nobody wrote to. The streams of other
    families ignore the flag and do write.
    """

    def take() -> Incoming | None:
        buffer = bytearray(wanted.size)
        flags = wanted.flags | socket.MSG_DONTWAIT
        came = _came(
            entry, wanted, lambda space, more: entry.sock.recvmsg_into([buffer], space, flags | more)
        )
        if came is None:
            return None
        is_discarded = entry.family in (socket.AF_INET, socket.AF_INET6)
        data = b"" if is_discarded else bytes(memoryview(buffer)[: came.got])
        return Incoming(data, came.got, None, came.flags | socket.MSG_TRUNC, came.control, came.closed)

    return until_done(entry, _events(wanted.flags), "recv", patience, take)


def _receive_all(entry: Entry, wanted: Wanted, patience: Patience, take: _Take) -> Incoming:
    """Emulate MSG_WAITALL: leave the bytes in the kernel until all of them are there.

    Taking them as they come would lose them with a client that hangs up half way. What the receive
    buffer cannot hold is not waited for: half of SO_RCVBUF is for data, the rest is overhead (tcp(7)).
    """
    target = min(wanted.size, max(1, options.get_number(entry.sock, "SO_RCVBUF") // 2))

    def take_all() -> Incoming | None:
        if _has_queued(entry.fd, target) or polling.now(entry.fd, polling.POLLRDHUP) & _ENDED:
            return take()
        return None

    try:
        return until_done(entry, polling.POLLIN | polling.POLLRDHUP | EDGE, "recv", patience, take_all)
    except (WaitTimeoutError, WouldBlockError):
        rest = take()
        if rest is None:
            raise
        return rest


def _has_queued(fd: int, size: int) -> bool:
    try:
        return int(struct.unpack("=i", fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))[0]) >= size
    except OSError:
        return True  # a listener, or vsock without SIOCINQ (Linux < 6.17): then recv itself has to tell


def _receive_messages(entry: Entry, wanted: Wanted, patience: Patience) -> Received:
    buffer: bytearray | None = None
    flags = wanted.flags | socket.MSG_DONTWAIT | socket.MSG_TRUNC

    def take() -> Incoming | None:
        nonlocal buffer
        if buffer is None:
            buffer = bytearray(wanted.size)
        room = buffer
        # MSG_TRUNC asks for the real length. recvmsg_into, since recv would return that many bytes of a
        # buffer that is shorter.
        came = _came(entry, wanted, lambda space, more: entry.sock.recvmsg_into([room], space, flags | more))
        if came is None:
            buffer = None  # thousands may wait, each for megabytes
            # Shut for reading, a datagram socket answers 0 where recv(2) may block, else EAGAIN.
            is_end = patience.timeout_s > 0 and not wanted.flags & socket.MSG_ERRQUEUE and is_shut(entry)
            return _END if is_end else None
        data = bytes(memoryview(room)[: min(came.got, wanted.size)])
        source = Address(entry.family, came.source) if came.source else None
        return _incoming(data, came.got, came, source)

    first = until_done(entry, _events(wanted.flags), "recv", patience, take)
    if is_end(entry, first.length):
        return Received((), is_eof=True)
    messages = [first, *_following(entry, wanted, first.size_bytes, take)]
    return Received(tuple(messages), is_eof=False)


def _following(entry: Entry, wanted: Wanted, total: int, take: _Take) -> Iterator[Incoming]:
    """Take more messages, as far as they are there; with MSG_PEEK there is but the first one to see."""
    most = 1 if wanted.flags & socket.MSG_PEEK else wanted.most
    for _ in range(1, most):
        ready = polling.now(entry.fd, polling.POLLIN)
        # A pending error is left for the next call to tell: this one has something to give.
        if total >= wanted.total_bytes or ready & polling.POLLERR or not ready & polling.POLLIN:
            return
        try:
            message = take()
        # It came between the two calls; or there is no room to hold what comes with the next one.
        except (KernelRefusedError, OutOfDescriptorsError, QuotaError):
            return
        if message is None or is_end(entry, message.length):
            return
        yield message
        total += message.size_bytes


def is_shut(entry: Entry) -> bool:
    """Whether nothing more will come; a datagram socket in that state says EAGAIN to MSG_DONTWAIT."""
    return bool(polling.now(entry.fd, polling.POLLRDHUP) & polling.POLLRDHUP)


def is_end(entry: Entry, length: int) -> bool:
    """Tell the end of a connection from a message of no bytes, which looks the same to recv(2).

    Only when the reading side is shut can it be the end; but what was queued before comes first, so if
    there is more to see, it was a message.

    Args:
        entry: A message socket.
        length: Of what was just received.
    """
    if length or not is_shut(entry):
        return False
    try:
        return not entry.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return True
