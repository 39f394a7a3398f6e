"""Tunnels: a client's connection joined to a held socket, bytes both ways, for as long as either wants."""

from __future__ import annotations

import logging
import math
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from socketd.core.hints import refused
from socketd.core.pumping import Ending
from socketd.core.relaying import Relay
from socketd.core.transfer import is_stream
from socketd.errors import (
    BusyError,
    ClosedMeanwhileError,
    InvalidRequestError,
    SocketdError,
)
from socketd.service import changes
from socketd.service.journal import journaled
from socketd.service.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from socketd.core.entry import Entry
    from socketd.core.legs import Leg
    from socketd.core.pumping import Flow
    from socketd.core.relaying import Line
    from socketd.core.seams import Pause
    from socketd.service.call import Call
    from socketd.service.ground import Ground

_SYSCALL: Final = "splice"
UNREAD_S: Final = 5.0
"""How long a client may read nothing of what it was sent before its connection is cut."""
LOOK_S: Final = 0.5
_FIRST_LOOK_S: Final = 0.01

log = logging.getLogger(__name__)


class Tunnels:
    """Joins clients to sockets that exist for them. Whoever owns a socket may: it could send and receive."""

    def __init__(self, ground: Ground) -> None:
        self._table = ground.table
        self._journal = ground.journal
        self._pump = ground.pump
        self._relays: set[Relay] = set()

    @property
    def relays(self) -> int:
        """How many tunnels are copied, and not the pump's to end."""
        return len(self._relays)

    def finish(self) -> None:
        """Have each of those end as soon as what it has taken is delivered."""
        for relay in self._relays:
            relay.finish()

    @journaled(changes.TUNNEL_OPENED)
    def find(self, call: Call, reference: str, *, with_messages: bool = False) -> Entry:
        """Look up a socket that can be tunnelled to, before the client is told that it is.

        Args:
            call: Who asks.
            reference: Which socket.
            with_messages: The client's side keeps the bounds of messages.

        Raises:
            InvalidRequestError: EOPNOTSUPP, messages would run together.
            KernelRefusedError: ENOTCONN.
            BusyError: A tunnel or a forward has its bytes.
        """
        entry = call.find(self._table, reference)
        if not (with_messages or is_stream(entry)):
            raise InvalidRequestError(
                f"socket {entry.reference} carries messages, and a tunnel of bytes has no bounds for them",
                symbol="EOPNOTSUPP",
                hint="GET with 'Upgrade: websocket' keeps messages apart; or use send and recv",
            )
        try:
            entry.sock.getpeername()
        except OSError as error:
            refusal = refused(error, "getpeername")
            refusal.subject = entry.reference
            raise refusal from error
        entry.raise_if_flowing(_SYSCALL)
        if entry.forwarded:  # a forward is about to begin
            raise BusyError(entry.reference, _SYSCALL, is_flowing=True)
        return entry

    def join(self, call: Call, entry: Entry, switch: Callable[[], Line]) -> Ending:
        """Move bytes between the client's connection and the socket until that is over; say how it ended.

        The kernel moves them where the connection carries them as they are. From ``find`` to here nobody
        else may have run.

        Args:
            call: Who asks.
            entry: What ``find`` gave.
            switch: Tells the client, and gives its connection; from then on nothing is raised.

        Raises:
            TooManyWaitsError, QuotaError, ShuttingDownError, KernelRefusedError: Before that.
        """
        with call.waiter.half_open().pause() as pause:
            line = switch()
            ending = (self._pumped if line.is_bare else self._copied)(call, entry, line, pause)
        return self._concluded(call, entry, ending)

    def relay(self, call: Call, entry: Entry, switch: Callable[[], Leg]) -> Ending:
        """Copy between a client's side, of bytes or messages, and the socket; else as ``join``."""
        with call.waiter.half_open().pause() as pause:
            ending = self._copied(call, entry, switch(), pause)
        return self._concluded(call, entry, ending)

    def let_read(self, call: Call, line: Line) -> None:
        """Wait until the client's kernel has all that was sent, or takes nothing of it any more."""
        unread, look_s = Unread(line.fileno(), UNREAD_S), _FIRST_LOOK_S
        with suppress(SocketdError), call.waiter.half_open().pause() as pause:
            while unread.count() and not unread.is_over:
                pause.wait(time.monotonic() + look_s)  # nothing tells when it is through
                look_s = min(2 * look_s, LOOK_S)

    def _copied(self, call: Call, entry: Entry, client: Leg, pause: Pause) -> Ending:
        relay = Relay(client, entry, call.waiter.half_open(), self._table.closer)
        self._relays.add(relay)
        try:
            with self._flowing(call, entry, relay):
                return relay.run(pause)
        finally:
            self._relays.discard(relay)

    def _pumped(self, call: Call, entry: Entry, line: Line, pause: Pause) -> Ending:
        error: SocketdError | None = None
        entry.be_spliced()
        early = line.take_early()
        try:
            flow = self._pump.join(line.fileno(), entry.fd, pause.ring, early, is_guest=True)
        except SocketdError as refusal:
            return Ending(refusal, undelivered=(len(early), 0))
        try:
            with self._flowing(call, entry, flow):
                while flow.ending is None:
                    pause.wait(math.inf)
        except SocketdError as gone:
            error = gone
        ending = flow.ending or Ending()
        return ending if error is None or ending.is_whole else replace(ending, error=ending.error or error)

    @contextmanager
    def _flowing(self, call: Call, entry: Entry, flow: Flow) -> Iterator[None]:
        """Let the socket be the flow's alone; stopped and let go of at the end."""
        entry.flow = flow
        self._journal.note(call, changes.TUNNEL_OPENED, entry)
        try:
            yield
        finally:
            flow.stop()
            if entry.flow is flow:
                entry.flow = None
            self._journal.note(call, changes.TUNNEL_CLOSED, entry)

    def _concluded(self, call: Call, entry: Entry, ending: Ending) -> Ending:
        """Complete what is known of the end, and tell what was lost."""
        if entry.closed and not ending.is_whole and ending.error is None:
            ending = replace(ending, error=ClosedMeanwhileError(entry.reference, _SYSCALL))
        if any(ending.undelivered):
            log.warning(
                "id=%s tunnel to socket %d ended with %d bytes for it and %d for its client taken and not "
                "delivered: %s",
                call.request_id,
                entry.fd,
                *ending.undelivered,
                ending.error or "it was stopped",
            )
        return ending
