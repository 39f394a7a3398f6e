"""Forwards: bytes moved between two held sockets inside the daemon, until both have come to their end."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Final

from socketd.errors import (
    BusyError,
    ClosedMeanwhileError,
    InvalidRequestError,
    KernelRefusedError,
    TooManyForwardsError,
    UnknownForwardError,
)
from socketd.service import changes
from socketd.service.bygone import Bygone
from socketd.service.forwarding import CLOSE, Forward
from socketd.service.journal import journaled

if TYPE_CHECKING:
    from socketd.core.entry import Entry
    from socketd.service.call import Call
    from socketd.service.forwarding import OnEnd
    from socketd.service.ground import Ground

STOP_S: Final = 5.0
"""How long a stop waits by default until what was taken is delivered."""

_DESCRIPTORS_OF_ONE: Final = 8  # both sockets, a duplicate of each, and two pipes
_ID_BYTES: Final = 6

log = logging.getLogger(__name__)


class Forwards:
    """Begins them, tells of them, ends them."""

    def __init__(self, ground: Ground) -> None:
        self._table = ground.table
        self._limits = ground.limits
        self._keeper = ground.keeper
        self._clock = ground.clock
        self._journal = ground.journal
        self._pump = ground.pump
        self._running: dict[str, Forward] = {}
        self._bygone = Bygone()
        self._bytes_of_ended = 0

    @property
    def running(self) -> int:
        """How many run now."""
        return len(self._running)

    @property
    def moved_bytes(self) -> int:
        """What all of them have delivered since the start, both ways."""
        return self._bytes_of_ended + sum(sum(each.moved) for each in self._running.values())

    @journaled(changes.FORWARD_STARTED)
    def create(self, call: Call, first: str, second: str, on_end: OnEnd) -> Forward:
        """Join two connected stream sockets; from here on nobody else reads or writes them.

        Raises:
            KernelRefusedError: ENOTCONN; EMFILE.
            InvalidRequestError: They are the same; one is no stream socket, or persists and is to be closed.
            BusyError: One of them is part of a tunnel or forward.
            TooManyForwardsError: As many run as may.
        """
        entries = self._found(call, first, second, on_end)
        most = self._limits.descriptors // _DESCRIPTORS_OF_ONE
        if len(self._running) >= most:
            raise TooManyForwardsError(most)
        forward = Forward(os.urandom(_ID_BYTES).hex(), entries, call.caller.owner, on_end, self._clock.time())
        try:
            self._mark(entries)
            self._running[forward.id] = forward
            self._begin(forward)
        except BaseException:
            self._running.pop(forward.id, None)
            self._unmark(entries)
            raise
        for entry, half in forward.halves():
            self._journal.note(call, changes.FORWARD_STARTED, entry, half)
        self._settle(forward)  # it may have ended at once
        return forward

    def all(self, call: Call) -> list[Forward]:
        """List those that exist for the caller, the oldest first; the ended ones come before the others."""
        self._bygone.forget(self._clock.monotonic())
        found = (*self._bygone, *self._running.values())
        return [forward for forward in found if call.may_see(forward.owner)]

    def get(self, call: Call, identifier: str) -> Forward:
        """Look one up.

        Raises:
            UnknownForwardError: There is none, or it is another's.
        """
        found = self._running.get(identifier) or self._bygone.get(identifier)
        if found is None or not call.may_see(found.owner):
            raise UnknownForwardError(identifier)
        return found

    def wait(self, call: Call, identifier: str, timeout_s: float) -> Forward:
        """Look one up when it has ended, or the time is over."""
        forward = self.get(call, identifier)
        if forward.flow is not None and timeout_s > 0:
            with call.waiter.pause() as pause:
                forward.await_end(pause, call.patience(timeout_s, self._limits).deadline)
        return forward

    @journaled(changes.FORWARD_ENDED)
    def stop(self, call: Call, identifier: str, timeout_s: float = STOP_S) -> Forward:
        """End one: nothing more is taken, and what was taken has ``timeout_s`` to be delivered.

        One that has ended is just looked up. If the client leaves meanwhile, what was taken goes on being
        delivered, for as long as that takes or until another stop.
        """
        forward = self.get(call, identifier)
        flow = forward.flow
        if flow is None:
            return forward
        # Who has no wait left can still stop one at once.
        with call.waiter.pause() if timeout_s > 0 else nullcontext() as pause:
            forward.stopped_by = call
            flow.finish()
            if pause is not None:
                forward.await_end(pause, call.patience(timeout_s, self._limits).deadline)
            flow.stop()
        self._keeper.confirm()
        return forward

    def _found(self, call: Call, first: str, second: str, on_end: OnEnd) -> tuple[Entry, Entry]:
        """Find the two, and look whether they can be joined."""
        entries = call.find(self._table, first), call.find(self._table, second)
        if entries[0] is entries[1]:
            raise InvalidRequestError("a socket cannot be forwarded to itself", member="sockets")
        for entry in entries:
            if entry.type != socket.SOCK_STREAM:
                raise InvalidRequestError(
                    f"socket {entry.reference} is no stream socket",
                    member="sockets",
                    symbol="EOPNOTSUPP",
                    hint="a forward has no bounds of messages; receive and send datagrams one by one",
                )
            if on_end == CLOSE and entry.persist:
                raise InvalidRequestError(
                    f"socket {entry.reference} persists, and cannot be closed by the end of a forward",
                    member="on_end",
                    hint="keep it, and DELETE /v1/names/{name} when it shall be no more",
                )
            _require_connected(entry)
            _require_free(entry)
        return entries

    def _mark(self, entries: tuple[Entry, Entry]) -> None:
        """Tell the keeper: should we die, bytes that only we had are missing in what goes through them."""
        for entry in entries:
            entry.forwarded = True
            self._keeper.update(entry)
        self._keeper.confirm()

    def _unmark(self, entries: tuple[Entry, Entry]) -> None:
        for entry in entries:
            if entry.flow is None:
                entry.forwarded = False
                if not entry.closed:
                    self._keeper.update(entry)

    def _begin(self, forward: Forward) -> None:
        first, second = forward.entries
        for entry in forward.entries:  # others ran while the keeper was told
            if entry.closed:
                raise ClosedMeanwhileError(entry.reference, "splice")
            entry.raise_if_flowing("splice")
            entry.be_spliced()
        forward.begin(self._pump.join(first.fd, second.fd, partial(self._settle, forward)))

    def _settle(self, forward: Forward) -> None:
        """Let go of the sockets of one that has ended, and tell; in the loop's thread, in vain if done."""
        if not forward.end(self._clock.time()):
            return
        self._bygone.add(forward, self._clock.monotonic())
        self._running.pop(forward.id, None)
        self._bytes_of_ended += sum(forward.moved)
        for entry, half in forward.halves():
            if not entry.closed:
                self._keeper.update(entry)
            self._journal.note(forward.stopped_by, changes.FORWARD_ENDED, entry, half)
        if any(forward.undelivered):
            log.warning(
                "forward %s of sockets %d and %d ended with %d and %d bytes taken and not delivered",
                forward.id,
                *(entry.fd for entry in forward.entries),
                *forward.undelivered,
            )
        if forward.on_end == CLOSE and not forward.is_cut_off:
            self._close(forward)
        forward.release()

    def _close(self, forward: Forward) -> None:
        for entry in forward.entries:
            if not entry.closed and not entry.persist:
                self._table.close(entry)
                self._journal.note(forward.stopped_by, changes.CLOSED, entry)


def _require_connected(entry: Entry) -> None:
    """Raise ``KernelRefusedError`` (ENOTCONN) of a socket without a peer."""
    try:
        entry.sock.getpeername()
    except OSError as error:
        refusal = KernelRefusedError(error, "getpeername", hint="connect it first, or accept from a listener")
        refusal.subject = entry.reference
        raise refusal from error


def _require_free(entry: Entry) -> None:
    """Raise ``BusyError`` of a socket that is part of a tunnel or forward, or about to be."""
    entry.raise_if_flowing("splice")
    if entry.forwarded:
        raise BusyError(entry.reference, "splice", is_flowing=True)
