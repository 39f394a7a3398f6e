"""What comes beside the bytes of a message: received with room for all of it, so that nothing slips away."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from socketd.core.control import PIDFD, RIGHTS, ControlMessage
from socketd.core.hints import refused
from socketd.errors import ClosedMeanwhileError

T = TypeVar("T")

if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Iterable, Sequence

    from socketd.core.entry import Entry
    from socketd.core.seams import Closer

    Item = tuple[int, int, bytes]
    Call = Callable[[int, int], "tuple[T, list[Item], int, Any]"]

_INT_BYTES: Final = array("i").itemsize
_HEAD_BYTES: Final = socket.CMSG_LEN(0)
_MOST_DESCRIPTORS: Final = 253  # SCM_MAX_FD, include/net/scm.h
CLOEXEC: Final = 0x40000000
"""MSG_CMSG_CLOEXEC of recvmsg(2), which the socket module lacks."""
_SO_PEEK_OFF: Final = 42  # include/uapi/asm-generic/socket.h; not in the socket module
ROOM: Final = socket.CMSG_SPACE(_MOST_DESCRIPTORS * _INT_BYTES) + 8192
"""For all that a Unix message can have: descriptors, credentials, a pidfd, SCM_INQ and a security label."""


class Desk(Protocol):
    """What becomes of descriptors that come; takes ownership of all it is given, also when it fails."""

    def expect(self, descriptors: Sequence[int]) -> None:
        """Hold what a message has, before it is taken; may wait for the keeper.

        Raises:
            QuotaError, OutOfDescriptorsError: There is no room; nothing is held of it.
            ClientGoneError: Nobody is there to get it; likewise.
        """

    def admit(self, descriptors: Sequence[int]) -> Sequence[Entry | None]:
        """Hold what has come, ``None`` for what cannot be; what was expected and has not come is let go."""

    def close(self, fd: int, /) -> None:
        """Close one."""


class Closing:
    """Holds nothing: closes what comes (``Desk``).

    Args:
        close: Closes one descriptor.
    """

    def __init__(self, close: Closer = os.close) -> None:
        self.close = close

    def expect(self, descriptors: Sequence[int]) -> None:
        """Close them."""
        for each in descriptors:
            self.close(each)

    def admit(self, descriptors: Sequence[int]) -> Sequence[Entry | None]:
        """Close them."""
        self.expect(descriptors)
        return [None] * len(descriptors)


@dataclass(frozen=True, slots=True)
class Came(Generic[T]):
    """What one call brought.

    Attributes:
        got: What the call itself gives: bytes, or how many are in its buffer.
        flags: ``MSG_…`` as the kernel returned them.
        source: Who sent it, as Python's ``socket`` gives it.
        control: As much as was asked for.
        closed: Descriptors that came and are not held.
    """

    got: T
    flags: int
    source: Any
    control: tuple[ControlMessage, ...] = ()
    closed: int = 0


def receive(entry: Entry, call: Call[T], space: int, desk: Desk) -> Came[T]:
    """Receive a message with at most ``space`` bytes of control messages; does not wait for the message.

    ``call`` is ``recvmsg(2)`` with so much room for them, and with the given flags besides its own.

    Without room for them the kernel drops descriptors right here, and the last close of a socket that lingers
    waits (SO_LINGER); so on a Unix socket there always is, and what was not asked for is closed by ``desk``.
    Descriptors that were asked for are held before the message is taken: the keeper has them by then, and
    if the daemon dies, the message waits for its successor.

    Raises:
        BlockingIOError: There is none.
        OSError: What recvmsg(2) answers.
        KernelRefusedError: EMFILE, the descriptors do not fit into the daemon; nothing was taken.
        SocketdError: What the desk raises; nothing was taken.

    Source: recvmsg(2), unix(7), put_cmsg and scm_detach_fds of net/core/scm.c.
    """
    sock = entry.sock
    if sock.family != socket.AF_UNIX:
        got, items, flags, source = call(space, 0)
        return Came(got, flags, source, tuple(ControlMessage(*item) for item in items))
    if space >= _HEAD_BYTES + _INT_BYTES and not _has_offset(sock):
        _announce(call, desk)
    try:
        _check_still_ours(entry)
        got, items, flags, source = call(ROOM, CLOEXEC)
    except BaseException:
        desk.admit(())
        raise
    return _came(got, flags & ~CLOEXEC, source, _Cut(items, space), desk)


def _check_still_ours(entry: Entry) -> None:
    """Look again at what may have changed while the desk waited."""
    if entry.closed:
        raise ClosedMeanwhileError(entry.reference, "recv")
    entry.raise_if_flowing("recv")


def receive_bytes(sock: _socket.socket, size: int, close: Closer) -> bytes:
    """Receive bytes alone from any kind of socket, without waiting; descriptors that come are closed.

    As ``sock.recv``, but that a peer cannot have the loop wait for the close of one that lingers.

    Raises:
        OSError: As ``recv``.
    """
    if sock.family != socket.AF_UNIX:
        return sock.recv(size, socket.MSG_DONTWAIT)
    data, items, _, _ = sock.recvmsg(size, ROOM, socket.MSG_DONTWAIT | CLOEXEC)
    close_all(items, close)
    return data


def close_all(items: Sequence[Item], close: Closer) -> None:
    """Close every descriptor that came: what a program sent, and the sender's pidfd (SO_PASSPIDFD)."""
    for each in (*_descriptors(items, RIGHTS), *_descriptors(items, PIDFD)):
        close(each)


def _announce(call: Call[T], desk: Desk) -> None:
    _, items, flags, _ = call(ROOM, CLOEXEC | socket.MSG_PEEK)
    found, others = _descriptors(items, RIGHTS), _descriptors(items, PIDFD)
    for each in others:
        desk.close(each)
    if flags & socket.MSG_CTRUNC:  # the room is enough: it is this process' table that is full (receive_fd)
        for each in found:
            desk.close(each)
        raise refused(OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "recvmsg")
    if found:
        desk.expect(found)


def _came(got: T, flags: int, source: Any, cut: _Cut, desk: Desk) -> Came[T]:
    admitted = desk.admit(cut.descriptors)
    for each in cut.unwanted:
        desk.close(each)
    held = tuple(entry for entry in admitted if entry is not None)
    closed = len(cut.unwanted) + len(admitted) - len(held)
    control = [ControlMessage(*item) for item in cut.items]
    if held:
        control.append(ControlMessage(*RIGHTS, sockets=held))
    if cut.is_cut or closed:
        flags |= socket.MSG_CTRUNC
    return Came(got, flags, source, tuple(control), closed)


class _Cut:
    """Control messages cut to the room that was asked for, as the kernel does it.

    Attributes:
        items: Those with plain bytes; the last one may have lost its end.
        descriptors: Those that fit.
        unwanted: Those that do not, and pidfds, which cannot be held.
        is_cut: Something did not fit.
    """

    def __init__(self, items: Iterable[Item], space: int) -> None:
        self.items: list[Item] = []
        self.descriptors: list[int] = []
        self.unwanted: list[int] = []
        self.is_cut = False
        for level, kind, data in items:
            if (level, kind) in (RIGHTS, PIDFD):
                space -= self._add_descriptors(space, (level, kind), data)
            else:
                space -= self._add(space, (level, kind, data))

    def _add(self, space: int, item: Item) -> int:
        level, kind, data = item
        room = max(space - _HEAD_BYTES, 0)
        self.is_cut = self.is_cut or room < len(data) or space < _HEAD_BYTES
        if space >= _HEAD_BYTES:
            self.items.append((level, kind, data[:room]))
        return min(space, socket.CMSG_SPACE(len(data[:room])))

    def _add_descriptors(self, space: int, kind: tuple[int, int], data: bytes) -> int:
        found = _unpacked(data)
        fitting = min(max(space - _HEAD_BYTES, 0) // _INT_BYTES, len(found))
        self.is_cut = self.is_cut or fitting < len(found)
        if kind == PIDFD:
            self.unwanted += found
        else:
            self.descriptors += found[:fitting]
            self.unwanted += found[fitting:]
        return min(space, socket.CMSG_SPACE(fitting * _INT_BYTES)) if fitting else 0


def _descriptors(items: Iterable[Item], wanted: tuple[int, int]) -> list[int]:
    return [fd for level, kind, data in items if (level, kind) == wanted for fd in _unpacked(data)]


def _unpacked(data: bytes) -> list[int]:
    return array("i", data[: len(data) - len(data) % _INT_BYTES]).tolist()


def _has_offset(sock: _socket.socket) -> bool:
    """Whether a program peeks at an offset of its own (SO_PEEK_OFF): peeking here would move that."""
    with contextlib.suppress(OSError):
        return sock.getsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF) >= 0
    return False
