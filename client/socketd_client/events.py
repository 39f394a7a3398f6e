"""What happens to held sockets, followed as it happens and across restarts of the daemon."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from socketd_client.addresses import Address, address_from_json
from socketd_client.calls import NDJSON, Call
from socketd_client.errors import BadAnswerError, TransportError
from socketd_client.records import Caller, Owner
from socketd_client.wire import Record, decoded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd_client.exchange import Exchange

PATH: Final = "/v1/events"
HEARTBEAT_S: Final = 15.0
"""At the latest so often the daemon sends something."""
GAP: Final = "gap"
_HEARTBEAT: Final = "heartbeat"


@dataclass(frozen=True, slots=True)
class EventSocket(Record):
    """The socket that an event is about, as far as that never changes."""

    fd: int
    inode: int
    cookie: int
    name: str | None = None
    owner: Owner | None = field(default=None, metadata=decoded(Owner.from_json))
    family: str = ""
    type: str = ""
    protocol: str = ""


@dataclass(frozen=True, slots=True)
class EventForward(Record):
    """What a forward has to do with the socket of the event.

    Attributes:
        id: The forward's.
        other: ``fd`` of the socket it is joined with.
        delivered_bytes: What the event's socket was given of the other's.
        lost_bytes: What was taken from the other one for it, and could not be given to it.
        error: The errno's name that ended the forward; ``None`` if it was no error.
    """

    id: str
    other: int
    delivered_bytes: int = 0
    lost_bytes: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Event(Record):
    """Something that happened to a socket, or was refused, or cannot be told any more.

    Attributes:
        event: ``created``, ``bound``, ``listening``, ``connected``, ``accepted``, ``shut_down``,
            ``option_set``, ``taken``, ``given``, ``released``, ``closed``, ``persisted``, ``unpersisted``,
            ``forward_started``, ``forward_ended``, ``tunnel_opened``, ``tunnel_closed``;
            ``refused``; or ``gap``: what came after ``after`` and up to ``sequence`` is missing.
        sequence: Rises; to go on after it.
        change: What happened, or, of ``refused``, what was asked for.
        result: ``ok`` or an errno's name.
        caller: Who asked; ``None`` for the daemon itself.
        socket: ``None`` where there is none.
        local, peer: The address that the event brought with it.
        forward: Of ``forward_started`` and ``forward_ended``; there is one event for each of the two sockets.
        reference, asked: Of ``refused``: what the request called the socket, and which address or option.
        reason: Of ``refused`` by the policy: what it does not grant.
    """

    event: str
    sequence: int
    time: datetime | None = field(default=None, metadata=decoded(datetime.fromisoformat))
    change: str | None = None
    result: str | None = None
    caller: Caller | None = field(default=None, metadata=decoded(Caller.from_json))
    socket: EventSocket | None = field(default=None, metadata=decoded(EventSocket.from_json))
    local: Address | None = field(default=None, metadata=decoded(address_from_json))
    peer: Address | None = field(default=None, metadata=decoded(address_from_json))
    option: str | None = None
    how: str | None = None
    forward: EventForward | None = field(default=None, metadata=decoded(EventForward.from_json))
    reference: str | None = None
    asked: str | None = None
    reason: str | None = None
    request_id: str | None = None
    after: int | None = None


def follow(exchange: Exchange, after: int | None, timeout: float | None) -> Iterator[dict[str, Any]]:
    """Give what the daemon sends, but for the heartbeats; come again where the connection breaks.

    Args:
        exchange: Sends the calls.
        after: The last event that is known; ``None``: only what comes, 0: all that is kept.
        timeout: Seconds; ``None`` goes on for ever, 0 gives what is there.
    """
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = None if end is None else max(end - time.monotonic(), 0.0)
        query = {"after": after, "timeout": left}
        try:
            with exchange.streaming(Call("GET", PATH, query, accept=NDJSON, wait_s=HEARTBEAT_S)) as pieces:
                for said in _documents(pieces):
                    after = said["sequence"]
                    if said["event"] != _HEARTBEAT:
                        yield said
        except TransportError as error:
            if after is None or isinstance(error, BadAnswerError):  # there is no place to go on from
                raise
        if end is not None and time.monotonic() >= end:
            return


def _documents(pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """Read a line each; what a broken connection leaves of one is not read."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            try:
                said = json.loads(line)
                is_event = isinstance(said["event"], str) and isinstance(said["sequence"], int)
            except (ValueError, TypeError, KeyError) as error:
                raise BadAnswerError("the stream of events has a line that is none") from error
            if not is_event:
                raise BadAnswerError("the stream of events has a line that is none")
            yield said
