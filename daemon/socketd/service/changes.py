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
)
"""What happens to held sockets; the name of a socket is part of its making."""

REFUSED: Final = "refused"
OK: Final = "ok"


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
        asked: Of a refusal: the address, as text, or the option that was asked for.
        reason: Of a refusal by the policy: what it does not grant, for people.
        option: Which option was set; never its value.
        how: Of ``shut_down``: ``SHUT_RD``, ``SHUT_WR``, ``SHUT_RDWR``.
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
