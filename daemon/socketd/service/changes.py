"""What a change is: its kinds, and one of them as the journal tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from socketd.access.caller import Caller
    from socketd.core.address import Address
    from socketd.core.entry import Entry
    from socketd.core.owner import Owner

CREATED: Final = "created"
BOUND: Final = "bound"
LISTENING: Final = "listening"
CONNECTED: Final = "connected"
ACCEPTED: Final = "accepted"
SHUT_DOWN: Final = "shut_down"
OPTION_SET: Final = "option_set"
TAKEN: Final = "taken"
GIVEN: Final = "given"
RELEASED: Final = "released"
CLOSED: Final = "closed"
PERSISTED: Final = "persisted"
UNPERSISTED: Final = "unpersisted"
FORWARD_STARTED: Final = "forward_started"
FORWARD_ENDED: Final = "forward_ended"
TUNNEL_OPENED: Final = "tunnel_opened"
TUNNEL_CLOSED: Final = "tunnel_closed"
SENT: Final = "sent"
KINDS: Final = (
    CREATED,
    BOUND,
    LISTENING,
    CONNECTED,
    ACCEPTED,
    SHUT_DOWN,
    OPTION_SET,
    TAKEN,
    GIVEN,
    RELEASED,
    CLOSED,
    PERSISTED,
    UNPERSISTED,
    FORWARD_STARTED,
    FORWARD_ENDED,
    TUNNEL_OPENED,
    TUNNEL_CLOSED,
)
"""What happens to held sockets; the name of a socket is part of its making."""

REFUSED: Final = "refused"
OK: Final = "ok"


@dataclass(frozen=True, slots=True)
class Half:
    """One socket's half of a forward, as it is told of that socket.

    Attributes:
        id: The forward's.
        other: Number of the socket that it is joined with.
        delivered_bytes: What this one was given of the other's.
        lost_bytes: What was taken from the other one for it, and could not be given to it.
        error: The errno's name that ended the forward; ``None`` if it was no error.
    """

    id: str
    other: int
    delivered_bytes: int = 0
    lost_bytes: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened to a held socket, or was asked for and refused.

    Attributes:
        sequence: Rises by one with each change, and is never given again, by a later daemon either.
        at: Unix seconds.
        kind: One of ``KINDS``, or ``sent`` for a message that was refused its address.
        caller: Who asked; ``None`` for the daemon itself, at its end.
        request_id: ``X-Request-Id`` of the request; ``None`` outside of one.
        entry: The socket; ``None`` if the caller sees none.
        reference: What the caller called it, where there is none, or where that was refused.
        result: ``ok`` or the errno's name.
        address: Of ``bound`` and ``listening`` the local one; of ``connected`` and ``accepted`` the peer's.
        asked: Of a refusal: the address, as text, the option, or the other socket that was asked for.
        reason: Of a refusal by the policy: what it does not grant, for people.
        option: Which option was set; never its value.
        how: Of ``shut_down``: ``SHUT_RD``, ``SHUT_WR``, ``SHUT_RDWR``.
        forward: Of ``forward_started`` and ``forward_ended``.
    """

    sequence: int
    at: float
    kind: str
    caller: Caller | None
    request_id: str | None
    entry: Entry | None
    reference: str | None = None
    result: str = OK
    address: Address | None = None
    asked: str | None = None
    reason: str | None = None
    option: str | None = None
    how: str | None = None
    forward: Half | None = None

    @property
    def event(self) -> str:
        """What happened: the kind, or ``refused``."""
        return self.kind if self.result == OK else REFUSED

    @property
    def owner(self) -> Owner | None:
        """Whose business it is: the socket's owner's, or of who asked for what there is not."""
        if self.entry is not None:
            return self.entry.owner
        return None if self.caller is None else self.caller.owner
