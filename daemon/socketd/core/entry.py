"""One held socket: the descriptor, who it belongs to, and who waits on it."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from socketd.errors import BusyError

if TYPE_CHECKING:
    import _socket

    from socketd.core.owner import Owner
    from socketd.core.pumping import Flow
    from socketd.core.seams import Pause


@dataclass(frozen=True, slots=True)
class UnixFile:
    """A socket file that ``bind`` made, told from a later one at the same path by device and inode."""

    path: str
    device: int
    inode: int

    def remove(self) -> None:
        """Unlink it, if it is still this one."""
        path = Path(self.path)
        with contextlib.suppress(OSError):
            found = path.lstat()
            # Between lstat and unlink somebody may replace the file; the directory's owner can do
            # as much at any time, so nothing is gained by them.
            if (found.st_dev, found.st_ino) == (self.device, self.inode):
                path.unlink()


@dataclass(frozen=True, slots=True)
class Taker:
    """Who took a descriptor, and when (Unix seconds)."""

    uid: int
    pid: int | None
    at: float


@dataclass(frozen=True, slots=True)
class Note:
    """What only the daemon knows of a held socket; it is kept beside the second copy.

    Attributes:
        persist: ``"boot"`` if its specification is made again after a reboot.
        key: Which request made it, if that had an ``Idempotency-Key``; a repeat is told by it.
        forwarded: Its bytes were on their way through the daemon: with that, some of them died.
    """

    owner: Owner
    created_at: float
    name: str | None = None
    accepted_from: int | None = None
    persist: str | None = None
    taken: int = 0
    taken_by: Taker | None = None
    is_blocking: bool = False
    socket_file: UnixFile | None = None
    key: str | None = None
    forwarded: bool = False


@dataclass(slots=True, eq=False)
class Entry:
    """A held socket. The kernel knows its state and addresses; kept here is only what it does not know.

    Attributes:
        sock: The socket at its final number; the table closes it.
        cookie: ``SO_COOKIE``, never reused by the kernel while the host runs.
        inode: Of the sockfs file.
        owner: Who created or gave it.
        accepted_from: Number of the listener it came from, if it was accepted.
        persist: ``"boot"`` if its specification is made again after a reboot.
        taken: How often its descriptor was handed out.
        taken_by: To whom last.
        is_blocking: It was handed out in blocking mode, which is the shared description's; what could wait
            in the kernel is refused until it is known to be non-blocking again.
        socket_file: The file that ``bind`` made for it and ``close`` removes.
        key: Which request made it, if that had an ``Idempotency-Key``.
        forwarded: A flow takes bytes out of it that only the daemon has until they are delivered; whoever
            sets ``flow`` sets this, and tells the keeper.
        flow: What moves its bytes now; no other call may read or write meanwhile. Set and cleared by whoever
            joined it.
        kept: Who else has a copy: ``daemon`` (nobody), ``keeper``, or the store of its ``supervisor`` or
            ``systemd``. Set by the link to the keeper.
        is_finished: It is what was asked for. One that still connects in the call that makes it is not, and
            the keeper is not to have it.
        queues: Pauses waiting their turn, by poll event; the first one is armed.
        watchers: Pauses of ``poll`` calls, which take no turn.
    """

    sock: _socket.socket
    fd: int
    family: int
    type: int
    protocol: int
    cookie: int
    inode: int
    owner: Owner
    created_at: float
    name: str | None = None
    accepted_from: int | None = None
    persist: str | None = None
    taken: int = 0
    taken_by: Taker | None = None
    is_blocking: bool = False
    socket_file: UnixFile | None = None
    key: str | None = None
    forwarded: bool = False
    flow: Flow | None = None
    kept: str = "daemon"
    is_finished: bool = True
    closed: bool = False
    queues: dict[int, OrderedDict[Pause, None]] = field(default_factory=dict)
    watchers: set[Pause] = field(default_factory=set)

    @property
    def reference(self) -> str:
        """The number as text, as it stands in paths and messages."""
        return str(self.fd)

    def note(self) -> Note:
        """Note what is to be kept beside the second copy, as it is now."""
        return Note(
            owner=self.owner,
            created_at=self.created_at,
            name=self.name,
            accepted_from=self.accepted_from,
            persist=self.persist,
            taken=self.taken,
            taken_by=self.taken_by,
            is_blocking=self.is_blocking,
            socket_file=self.socket_file,
            key=self.key,
            forwarded=self.forwarded,
        )

    def raise_if_flowing(self, syscall: str) -> None:
        """Refuse what would read or write beside the flow.

        Raises:
            BusyError: There is one.
        """
        if self.flow is not None:
            raise BusyError(self.reference, syscall, is_flowing=True)

    def be_spliced(self) -> None:
        """Set O_NONBLOCK, which splice(2) goes by, unless a program has it in blocking mode on purpose.

        Of such a socket the bytes are copied, at half the speed.
        """
        if not self.is_blocking:
            os.set_blocking(self.fd, False)

    def queue(self, events: int) -> OrderedDict[Pause, None]:
        """Those who wait for ``events``, in the order they came."""
        waiting = self.queues.get(events)
        if waiting is None:
            waiting = self.queues[events] = OrderedDict()
        return waiting

    def end_waits(self) -> None:
        """Let go of the descriptor in every wait before it is closed; libev must not see it afterwards.

        The flow that moves its bytes is stopped.
        """
        if self.flow is not None:
            self.flow.stop()
        pauses = [pause for queue in self.queues.values() for pause in queue]
        for pause in (*pauses, *self.watchers):
            pause.disarm(self.fd)
            pause.ring()
