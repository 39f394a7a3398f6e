"""What every request brings to the door, and what bounds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from socketd.core.waiting import Patience
from socketd.errors import StaleError, UnknownSocketError

if TYPE_CHECKING:
    from socketd.access.caller import Caller
    from socketd.core.entry import Entry
    from socketd.core.seams import Waiter
    from socketd.core.table import SocketTable


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one request may ask.

    Attributes:
        max_timeout_s: Longer waits are cut to it.
        default_timeout_s: When the request says nothing.
        max_recv_bytes: Over all messages of one call.
        max_count: Sockets of one bulk create, messages of one call, entries of one poll.
        descriptors: RLIMIT_NOFILE in force; numbers stay below it.
        number_rest_s: How long a freed number rests.
    """

    max_timeout_s: float = 600.0
    default_timeout_s: float = 30.0
    max_recv_bytes: int = 16 * 1024 * 1024
    max_count: int = 100_000
    descriptors: int = 1024
    number_rest_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who asks, how it waits, and which socket it believes to be talking to.

    Attributes:
        expected: Cookies from ``If-Match``; ``None`` if it did not say, empty if it said none.
    """

    caller: Caller
    waiter: Waiter
    expected: frozenset[int] | None = None

    def find(self, table: SocketTable, reference: str | int) -> Entry:
        """Look up a socket that exists for this caller; somebody else's does not.

        Raises:
            UnknownSocketError: There is none, or it is another's.
            StaleError: It is not the one that ``If-Match`` names.
        """
        entry = table.find(reference)
        if not self.caller.may_see(entry.owner_uid):
            raise UnknownSocketError(str(reference))
        if self.expected is not None and entry.cookie not in self.expected:
            raise StaleError(str(reference))
        return entry

    def patience(self, timeout_s: float | None, limits: Limits) -> Patience:
        """Start the clock for a wait; ``None`` is the default, and the cap holds for everybody."""
        wanted = limits.default_timeout_s if timeout_s is None else timeout_s
        return Patience.of(self.waiter, min(wanted, limits.max_timeout_s))
