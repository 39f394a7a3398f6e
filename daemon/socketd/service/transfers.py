"""Bytes, messages and readiness: send, receive and poll on sockets that exist for the caller."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from socketd.core import polling, receiving, transfer
from socketd.core.address import Service
from socketd.core.resolve import candidates
from socketd.core.transfer import Outgoing, Sent
from socketd.errors import InvalidRequestError, NotPermittedError, UnknownSocketError
from socketd.service import asking, changes
from socketd.service.arrivals import Arrivals
from socketd.service.attaching import Attaching
from socketd.service.journal import journaled
from socketd.service.operations import permitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from socketd.core.entry import Entry
    from socketd.core.receiving import Received, Wanted
    from socketd.core.seams import Resolver
    from socketd.service.attaching import Message
    from socketd.service.call import Call
    from socketd.service.ground import Ground


class Transfers:
    """What goes through held sockets."""

    def __init__(self, ground: Ground, resolver: Resolver) -> None:
        self._ground = ground
        self._attaching = Attaching(ground)
        self._pending: dict[Entry, Arrivals] = {}
        self._table = ground.table
        self._limits = ground.limits
        self._journal = ground.journal
        self._resolver = resolver

    @journaled(changes.SENT, only=NotPermittedError)  # what it lets through is no change
    def send(
        self,
        call: Call,
        reference: str,
        messages: Sequence[Message],
        flags: int,
        timeout_s: float | None,
    ) -> Sent:
        """Send bytes or messages; a name in an address is resolved to the first that the policy grants."""
        entry = call.find(self._table, reference)
        outgoing = [self._outgoing(call, entry, each) for each in messages]
        sent = transfer.send(entry, outgoing, flags, call.patience(timeout_s, self._limits))
        if any(control.released for message in messages for control in message.control):
            self._ground.keeper.confirm()  # who receives them may rely on it that his close ends them
        return sent

    def receive(
        self, call: Call, reference: str, wanted: Wanted, timeout_s: float | None
    ) -> tuple[Received, Arrivals]:
        """Receive bytes or messages; descriptors that come with them are held, if there is room for them.

        Raises:
            InvalidRequestError: More is asked for than one answer may hold.
            QuotaError, OutOfDescriptorsError: What comes next brings more sockets than may be held.
        """
        entry = call.find(self._table, reference)
        limit = self._limits.max_recv_bytes
        if wanted.size > limit:
            raise InvalidRequestError(
                f"at most {limit} bytes can be received in one call",
                member="size",
                hint="ask again for the rest, or take the descriptor",
            )
        arrivals = Arrivals(self._ground, call, self._pending)
        wanted = replace(wanted, total_bytes=min(wanted.total_bytes, limit), desk=arrivals)
        received = receiving.receive(entry, wanted, call.patience(timeout_s, self._limits))
        arrivals.confirm()
        return received, arrivals

    def poll(
        self, call: Call, wanted: Sequence[tuple[str, int]], timeout_s: float | None
    ) -> list[tuple[int, Entry | None, int]]:
        """Wait for one of several sockets; gives positions in ``wanted`` with what holds.

        A socket that does not exist for the caller is POLLNVAL, as in poll(2).
        """
        if len(wanted) > self._limits.max_count:
            raise InvalidRequestError(
                f"at most {self._limits.max_count} sockets can be polled", member="sockets"
            )
        entries = [(self._known(call, reference), events) for reference, events in wanted]
        ready = polling.wait(entries, call.patience(timeout_s, self._limits))
        return [(position, entries[position][0], events) for position, events in ready]

    def _known(self, call: Call, reference: str) -> Entry | None:
        try:
            return call.find(self._table, reference)
        except UnknownSocketError:
            return None

    def _outgoing(self, call: Call, entry: Entry, message: Message) -> Outgoing:
        attached = self._attaching.attached(call, entry, message)
        to = message.to
        if to is None:
            return Outgoing(message.data, attached=attached)
        if isinstance(to, Service):
            call.waiter.check()  # a name server takes its time, for each of thousands of messages
            asking.require_lookup(call, to)
        found = candidates(to, entry.family, entry.type, self._resolver)
        reached = permitted(found, lambda address: asking.to_reach(call, to, address))[0]
        return Outgoing(message.data, reached, attached)
