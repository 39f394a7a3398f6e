"""Short ways to have a service create sockets: many at once, or under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socketd.core.owner import Owner
from socketd.core.table import Origin
from tests.held import ANN, specification

if TYPE_CHECKING:
    from socketd.core.creation import Specification
    from socketd.core.entry import Entry
    from tests.held import Held
    from tests.waiters import PollWaiter

FRESH = specification()


def create_many(
    held: Held, wanted: Specification, count: int, name: str | None = None, waiter: PollWaiter | None = None
) -> list[Entry]:
    call = held.call(waiter=waiter)
    return held.service.sockets.create_many(call, wanted, Origin(Owner(0), name), count, 1)


def ensure(
    held: Held, wanted: Specification, uid: int = ANN, expected: frozenset[int] | None = None
) -> tuple[Entry, bool]:
    call = held.call(uid, expected=expected)
    return held.service.sockets.ensure(call, wanted, Origin(Owner(uid), "web"), 1)
