"""The table of held sockets; it guards that numbers and names stay unique, and nothing more."""

from __future__ import annotations

import _socket
import contextlib
import os
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from socketd.core.entry import Entry
from socketd.core.hints import refused
from socketd.errors import AlreadyHeldError, ClosedMeanwhileError, NameTakenError, UnknownSocketError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from socketd.core.numbers import Numbers
    from socketd.core.seams import Clock

SO_COOKIE = 57  # include/uapi/asm-generic/socket.h; not in the socket module
_COOKIE = struct.Struct("=Q")
_MOST_DIGITS = 11  # more than any int of C has; int() itself refuses beyond 4300 of them


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a socket comes from: what the table notes beside it."""

    owner_uid: int
    name: str | None = None
    accepted_from: int | None = None
    persist: bool = False


class SocketTable:
    """Held sockets by number and by name. Safe to use from several threads."""

    def __init__(self, numbers: Numbers, clock: Clock) -> None:
        self._numbers = numbers
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[int, Entry] = {}
        self._names: dict[str, Entry] = {}
        self._inodes: dict[int, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> list[Entry]:
        """All of them, by number."""
        with self._lock:
            return [self._entries[fd] for fd in sorted(self._entries)]

    def find(self, reference: str | int) -> Entry:
        """Look up a number or a name.

        Raises:
            UnknownSocketError: There is none.
        """
        text = str(reference)
        if text.isascii() and text.isdecimal():
            entry = self._entries.get(int(text)) if len(text) <= _MOST_DIGITS else None
        else:
            entry = self._names.get(text)
        if entry is None:
            raise UnknownSocketError(text)
        return entry

    def has_name(self, name: str) -> bool:
        """Whether a held socket has this name."""
        return name in self._names

    def check_name(self, name: str | None) -> None:
        """Refuse a name that is taken, before anything is made.

        Raises:
            NameTakenError: It is.
        """
        if name is not None and name in self._names:
            raise NameTakenError(name)

    def hold(self, sock: _socket.socket, origin: Origin) -> Entry:
        """Keep ``sock`` under a number and name of its own; takes ownership of it, also when it fails.

        Raises:
            OutOfDescriptorsError: No number is free.
            NameTakenError: Another socket has the name.
        """
        try:
            with self._lock:
                self.check_name(origin.name)
                number = self._numbers.duplicate(sock.fileno())
                return self._enter(number, sock, origin)
        finally:
            sock.close()

    def adopt(self, fd: int, origin: Origin) -> Entry:
        """Hold a descriptor that somebody gave; takes ownership of ``fd``, also when it fails.

        Raises:
            KernelRefusedError: ENOTSOCK, it is no socket.
            AlreadyHeldError: It is a duplicate of a held one, whoever's.
            OutOfDescriptorsError, NameTakenError: As ``hold``.
        """
        try:
            sock = _socket.socket(fileno=fd)
        except OSError as error:
            os.close(fd)
            raise refused(error, "getsockname") from error
        # An inode of sockfs is one socket's as long as that is open. Not so the cookie: an MPTCP
        # connection has its listener's (Linux 6.18).
        held = self._inodes.get(os.fstat(fd).st_ino)
        if held is not None:
            sock.close()
            raise AlreadyHeldError(held.reference)
        return self.hold(sock, origin)

    def hold_accepted(self, listener: Entry, origin: Origin) -> Entry | None:
        """Take one connection from ``listener``'s backlog and hold it; ``None`` if there is none.

        The number is reserved (with a duplicate of the listener) before ``accept4`` is called: a
        connection once taken from the backlog can then no longer be lost to a full table.

        Raises:
            OutOfDescriptorsError, NameTakenError: Before anything was accepted.
            OSError: What ``accept4(2)`` answered.
        """
        with self._lock:
            if listener.closed:
                raise ClosedMeanwhileError(listener.reference, "accept")
            self.check_name(origin.name)
            number = self._numbers.duplicate(listener.fd)
            try:
                # What Lib/socket.py builds its accept on; typeshed does not know it.
                low, _peer = listener.sock._accept()  # type: ignore[attr-defined]  # noqa: SLF001 (likewise)
                try:
                    os.dup2(low, number, inheritable=False)
                finally:
                    os.close(low)
            except BlockingIOError:
                self._numbers.give_back(number)
                return None
            except BaseException:
                self._numbers.give_back(number)
                raise
            return self._enter(number, listener.sock, origin)

    @contextlib.contextmanager
    def lent(self, entries: Sequence[Entry]) -> Iterator[list[int]]:
        """Give the numbers of ``entries``, none of which is closed while the block runs; it must not wait.

        A number that is noted and sent later may be a stranger's by then.

        Raises:
            ClosedMeanwhileError: One of them is closed already.
        """
        with self._lock:
            for entry in entries:
                if entry.closed:
                    raise ClosedMeanwhileError(entry.reference, "sendmsg")
            yield [entry.fd for entry in entries]

    def forget(self, entry: Entry) -> None:
        """Close our descriptor of a socket that lives on elsewhere: waits end, its name is free.

        Raises:
            ClosedMeanwhileError: Somebody else closed it first.
        """
        with self._lock:
            if entry.closed:
                raise ClosedMeanwhileError(entry.reference, "close")
            entry.closed = True
            del self._entries[entry.fd]
            del self._inodes[entry.inode]
            if entry.name is not None:
                del self._names[entry.name]
            self._end_waits(entry)
            entry.sock.close()
            self._numbers.free(entry.fd)

    def close(self, entry: Entry) -> None:
        """Close a held socket: waits on it end, its name is free, the kernel's object goes with it.

        Raises:
            ClosedMeanwhileError: Somebody else closed it first.
        """
        self.forget(entry)
        # Whoever took a duplicate may still be reached by the path.
        if entry.socket_file is not None and not entry.taken:
            entry.socket_file.remove()

    def close_all(self) -> None:
        """Close everything; for the end of the daemon."""
        for entry in self.entries():
            with contextlib.suppress(ClosedMeanwhileError):
                self.close(entry)

    def _enter(self, number: int, like: _socket.socket, origin: Origin) -> Entry:
        """Make the entry of descriptor ``number``, which it owns from here, also when this fails."""
        try:
            # Who created with protocol 0 wants to see what it became, so the kernel is asked (-1); but of
            # a packet socket SO_PROTOCOL is always 0 (net/packet/af_packet.c keeps it elsewhere).
            protocol = like.proto if like.family == _socket.AF_PACKET else -1
            sock = _socket.socket(like.family, like.type, protocol, number)
        except BaseException:
            os.close(number)
            raise
        try:
            entry = Entry(
                sock=sock,
                fd=number,
                family=like.family,
                type=like.type,
                protocol=sock.proto,
                cookie=_cookie(sock),
                inode=os.fstat(number).st_ino,
                owner_uid=origin.owner_uid,
                created_at=self._clock.time(),
                name=origin.name,
                accepted_from=origin.accepted_from,
                persist=origin.persist,
            )
        except BaseException:
            sock.close()
            raise
        self._entries[number] = entry
        self._inodes[entry.inode] = entry
        if origin.name is not None:
            self._names[origin.name] = entry
        return entry

    @staticmethod
    def _end_waits(entry: Entry) -> None:
        """Let go of the descriptor in every wait before it is closed; libev must not see it afterwards."""
        pauses = [pause for queue in entry.queues.values() for pause in queue]
        for pause in (*pauses, *entry.watchers):
            pause.disarm(entry.fd)
            pause.ring()


def _cookie(sock: _socket.socket) -> int:
    if sock.family == _socket.AF_VSOCK:  # its options CPython gives as numbers of 64 bits, and only so
        return sock.getsockopt(_socket.SOL_SOCKET, SO_COOKIE)
    return int(_COOKIE.unpack(sock.getsockopt(_socket.SOL_SOCKET, SO_COOKIE, _COOKIE.size))[0])
