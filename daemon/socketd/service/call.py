"""What every request brings to the door, and what bounds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from socketd.core.waiting import Patience
from socketd.errors import StaleError, UnknownSocketError

if TYPE_CHECKING:
    from socketd.access.caller import Caller
    from socketd.access.questions import Question
    from socketd.core.entry import Entry
    from socketd.core.owner import Owner
    from socketd.core.seams import Waiter
    from socketd.core.table import SocketTable
    from socketd.service.guard import Guard


@dataclass(slots=True)
class Limits:
    """Bounds on what one request may ask; all nouns share them, and a reload changes them.

    Attributes:
        max_timeout_s: Longer waits are cut to it.
        default_timeout_s: When the request says nothing.
        max_recv_bytes: Over all messages of one call.
        max_count: Sockets of one bulk create, messages of one call, entries of one poll.
        descriptors: RLIMIT_NOFILE in force; numbers stay below it.
        number_rest_s: How long a freed number rests.
        first_number: The lowest for a held socket; those below are the daemon's own.
    """

    max_timeout_s: float = 600.0
    default_timeout_s: float = 30.0
    max_recv_bytes: int = 16 * 1024 * 1024
    max_count: int = 100_000
    descriptors: int = 1024
    number_rest_s: float = 120.0
    first_number: int = 64


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who asks, how it waits, what it may, and which socket it believes to be talking to.

    Attributes:
        guard: Knows what the caller may.
        expected: Cookies from ``If-Match``; ``None`` if it did not say, empty if it said none.
        key: Tells this request from all others, and its repeats not; ``None`` without ``Idempotency-Key``.
        request_id: ``X-Request-Id`` of the request, for the journal; ``None`` of what no request asked for.
    """

    caller: Caller
    waiter: Waiter
    guard: Guard
    expected: frozenset[int] | None = None
    key: str | None = None
    request_id: str | None = None

    def find(self, table: SocketTable, reference: str | int) -> Entry:
        """Look up a socket that exists for this caller; somebody else's does not.

        Raises:
            UnknownSocketError: There is none, or it is another's.
            StaleError: It is not the one that ``If-Match`` names.
        """
        entry = table.find(reference)
        if not self.may_see(entry.owner):
            raise UnknownSocketError(str(reference))
        if self.expected is not None and entry.cookie not in self.expected:
            raise StaleError(str(reference))
        return entry

    def require(self, *questions: Question) -> None:
        """Return if the policy grants all of it.

        Raises:
            NotPermittedError: It does not grant one.
        """
        self.guard.require(self.caller, *questions)

    def require_room(self, count: int = 1, owner: Owner | None = None) -> None:
        """Return if ``count`` more sockets may be held, of ``owner`` or the caller's own.

        Raises:
            QuotaError: They would be too many.
        """
        self.guard.require_room(self.caller, owner or self.caller.owner, count)

    def may_see(self, owner: Owner) -> bool:
        """Whether sockets of ``owner`` exist for the caller."""
        return self.guard.may_see(self.caller, owner)

    def patience(self, timeout_s: float | None, limits: Limits) -> Patience:
        """Start the clock for a wait; ``None`` is the default, and the cap holds for everybody."""
        wanted = limits.default_timeout_s if timeout_s is None else timeout_s
        return Patience.of(self.waiter, min(wanted, limits.max_timeout_s))
