"""The table of held sockets; it guards that numbers and names stay unique, and nothing more."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from socketd.core.entering import Origin, enter, enter_again, wrap, wrap_like
from socketd.core.keeping import ALONE
from socketd.core.repeats import Repeats
from socketd.core.tally import Tally
from socketd.errors import AlreadyHeldError, ClosedMeanwhileError, NameTakenError, UnknownSocketError

if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Iterator, Sequence

    from socketd.core.entry import Entry, Note, UnixFile
    from socketd.core.numbers import Numbers
    from socketd.core.seams import Clock, Closer, Keeper

    Check = Callable[[_socket.socket], None]

__all__ = ["Origin", "SocketTable"]

_MOST_DIGITS = 11  # more than any int of C has; int() itself refuses beyond 4300 of them


class SocketTable:
    """Held sockets by number and by name. Safe to use from several threads.

    Args:
        keeper: Is told of all that is held and closed; what is said to it here does not wait.

    Attributes:
        numbers: Gives them their numbers.
        tally: How many each owner has.
        closer: Closes what may be a socket's last descriptor.
    """

    def __init__(self, numbers: Numbers, clock: Clock, keeper: Keeper = ALONE) -> None:
        self.numbers = numbers
        self._clock = clock
        self._keeper = keeper
        self._lock = threading.Lock()
        self._entries: dict[int, Entry] = {}
        self._names: dict[str, Entry] = {}
        self._inodes: dict[int, Entry] = {}
        self.tally = Tally()
        self.closer: Closer = os.close
        self._repeats = Repeats()

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

    def made_under(self, key: str | None) -> list[Entry]:
        """List what a request with that key made before the daemon was started anew, as far as it is held."""
        return [] if key is None else self._repeats.of(key)

    def hold(
        self,
        sock: _socket.socket,
        origin: Origin,
        socket_file: UnixFile | None = None,
        *,
        is_finished: bool = True,
    ) -> Entry:
        """Keep ``sock`` under a number and name of its own; takes ownership of it, also when it fails.

        Args:
            sock: A socket that is not held yet.
            origin: Where it comes from.
            socket_file: The file that ``bind`` made for it.
            is_finished: False leaves it to ``finish`` to tell the keeper, lest its copy hold the port of one
                that comes to nothing.

        Raises:
            OutOfDescriptorsError: No number is free.
            NameTakenError: Another socket has the name.
        """
        try:
            with self._lock:
                self.check_name(origin.name)
                number = self.numbers.duplicate(sock.fileno())
                entry = enter(wrap_like(number, sock), origin, self._clock.time(), socket_file)
                self._add(entry)
                entry.is_finished = is_finished
                if is_finished:
                    self._keeper.store(entry, origin.group)
        except BaseException:
            self.closer(sock.detach())
            raise
        sock.close()  # not the last one
        return entry

    def finish(self, entry: Entry, group: int) -> None:
        """Tell the keeper of a socket that has become what was asked for."""
        entry.is_finished = True
        self._keeper.store(entry, group)

    def adopt(self, fd: int, origin: Origin, check: Check = lambda _: None) -> Entry:
        """Hold a descriptor that somebody gave; takes ownership of ``fd``, also when it fails.

        ``check`` looks at what it is before it is held; what it raises refuses it.

        Raises:
            KernelRefusedError: ENOTSOCK, it is no socket.
            AlreadyHeldError: It is a duplicate of a held one, whoever's.
            OutOfDescriptorsError, NameTakenError: As ``hold``.
        """
        sock = wrap(fd, self.closer)
        try:
            self._refuse_second(sock)
            check(sock)
        except BaseException:
            self.closer(sock.detach())
            raise
        return self.hold(sock, origin)

    def restore(self, number: int, note: Note, kept: str) -> Entry:
        """Hold again what the keeper has given back; takes ownership of ``number``, also when it fails.

        Args:
            number: The descriptor, which is open at the number it always had.
            note: What was kept beside it.
            kept: Who has a copy: ``keeper``, ``supervisor`` or ``systemd``.

        Raises:
            KernelRefusedError: ENOTSOCK, it is no socket.
            AlreadyHeldError, NameTakenError: There is one.
        """
        sock = wrap(number)
        with self._lock:
            try:
                self.check_name(note.name)
                self._refuse_second(sock)
            except BaseException:
                sock.close()
                raise
            entry = enter_again(sock, note, kept)
            self._add(entry)
            self._repeats.add(entry)
            return entry

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
            created_at = self._clock.time()
            number = self.numbers.duplicate(listener.fd)
            low = self._accept(listener, number, origin.note(created_at))
            if low is None:
                return None
            try:
                self._move(low, number)
                entry = enter(wrap_like(number, listener.sock), origin, created_at)
            except BaseException:
                self._keeper.forget(number)
                raise
            self._add(entry)
            return entry

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
            self.tally.discard(entry.owner)
            self._repeats.discard(entry)
        entry.end_waits()  # not under the lock: a forward that ends so may have the other socket closed, too
        with self._lock:
            self.closer(entry.sock.detach())
            self._keeper.forget(entry.fd)
            self.numbers.free(entry.fd)

    def close(self, entry: Entry) -> None:
        """Close a held socket: waits on it end, its name is free, the kernel's object goes with it.

        Raises:
            ClosedMeanwhileError: As ``forget``.
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

    def _accept(self, listener: Entry, number: int, note: Note) -> int | None:
        """Call ``accept4`` and tell the keeper; ``None``, without ``number``, if there is no connection."""
        accept = listener.sock._accept  # type: ignore[attr-defined]  # noqa: SLF001 (as Lib/socket.py)
        arrival = self._keeper.expect(number, note)
        try:
            low: int = accept()[0]
        except BaseException as error:
            arrival.drop()
            self.numbers.give_back(number)
            if isinstance(error, BlockingIOError):
                return None
            raise
        # Between accept4 and this the connection is known to nobody else: nothing more may be done there.
        arrival.store(low)
        return low

    def _move(self, low: int, number: int) -> None:
        """Move ``low`` to the reserved ``number``; when it fails, neither is open."""
        try:
            os.dup2(low, number, inheritable=False)
        except BaseException:
            self.numbers.give_back(number)
            raise
        finally:
            os.close(low)

    def _add(self, entry: Entry) -> None:
        self._entries[entry.fd] = entry
        self._inodes[entry.inode] = entry
        self.tally.add(entry.owner)
        if entry.name is not None:
            self._names[entry.name] = entry

    def _refuse_second(self, sock: _socket.socket) -> None:
        # An inode of sockfs is one socket's as long as that is open. Not so the cookie: an MPTCP
        # connection has its listener's (Linux 6.18).
        held = self._inodes.get(os.fstat(sock.fileno()).st_ino)
        if held is not None:
            raise AlreadyHeldError(held.reference)
