"""An open descriptor becomes an entry: what the kernel is asked once, and what is noted beside it."""

from __future__ import annotations

import _socket
import os
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd.core.entry import Entry, Note
from socketd.core.hints import refused

if TYPE_CHECKING:
    from socketd.core.entry import UnixFile
    from socketd.core.owner import Owner
    from socketd.core.seams import Closer

SO_COOKIE: Final = 57  # include/uapi/asm-generic/socket.h; not in the socket module
_COOKIE: Final = struct.Struct("=Q")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a socket comes from: what the table notes beside it.

    Attributes:
        group: Of the keeper: a second copy counts only when the whole group is confirmed; 0 is at once.
        key: Which request makes it, if that has an ``Idempotency-Key``.
        persist: ``"boot"`` if its specification is made again after a reboot.
    """

    owner: Owner
    name: str | None = None
    accepted_from: int | None = None
    group: int = 0
    key: str | None = None
    persist: str | None = None

    def note(self, created_at: float) -> Note:
        """Make the note of a socket before there is an entry."""
        return Note(self.owner, created_at, self.name, self.accepted_from, self.persist, key=self.key)


def wrap(fd: int, close: Closer = os.close) -> _socket.socket:
    """Make a socket object of a descriptor; takes ownership of ``fd``, also when it fails.

    Raises:
        KernelRefusedError: ENOTSOCK, it is no socket.
    """
    try:
        return _socket.socket(fileno=fd)
    except OSError as error:
        close(fd)
        raise refused(error, "getsockname") from error


def wrap_like(fd: int, like: _socket.socket) -> _socket.socket:
    """Make a socket object of a descriptor that is of the same kind; takes ownership of ``fd`` likewise.

    Who created with protocol 0 wants to see what it became, so that is asked of the kernel (-1).
    """
    try:
        return _socket.socket(like.family, like.type, -1, fd)
    except BaseException:
        os.close(fd)
        raise


def enter(
    sock: _socket.socket, origin: Origin, created_at: float, socket_file: UnixFile | None = None
) -> Entry:
    """Make the entry of a socket at its final number; takes ownership of ``sock``, also when it fails."""
    try:
        number = sock.fileno()
        return Entry(
            sock=sock,
            fd=number,
            family=sock.family,
            type=sock.type,
            protocol=_protocol(sock),
            cookie=_cookie(sock),
            inode=os.fstat(number).st_ino,
            owner=origin.owner,
            created_at=created_at,
            name=origin.name,
            accepted_from=origin.accepted_from,
            persist=origin.persist,
            socket_file=socket_file,
            key=origin.key,
        )
    except BaseException:
        sock.close()
        raise


def enter_again(sock: _socket.socket, note: Note, kept: str) -> Entry:
    """Make the entry of a socket that an earlier daemon held; takes ownership of ``sock`` likewise."""
    origin = Origin(note.owner, note.name, note.accepted_from, key=note.key, persist=note.persist)
    entry = enter(sock, origin, note.created_at, note.socket_file)
    entry.taken, entry.taken_by, entry.is_blocking = note.taken, note.taken_by, note.is_blocking
    entry.kept = kept
    return entry


def _protocol(sock: _socket.socket) -> int:
    # Of a packet socket SO_PROTOCOL is always 0: net/packet/af_packet.c keeps it elsewhere, and its
    # packet_getname tells it. CPython turns that into host order; socket(2) takes it in network order.
    return socket.htons(sock.getsockname()[1]) if sock.family == _socket.AF_PACKET else sock.proto


def _cookie(sock: _socket.socket) -> int:
    if sock.family == _socket.AF_VSOCK:  # its options CPython gives as numbers of 64 bits, and only so
        return sock.getsockopt(_socket.SOL_SOCKET, SO_COOKIE)
    return int(_COOKIE.unpack(sock.getsockopt(_socket.SOL_SOCKET, SO_COOKIE, _COOKIE.size))[0])
