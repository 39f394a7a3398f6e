"""What all nouns of the service share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.core.pumping import Pump
    from socketd.core.seams import Clock, Keeper
    from socketd.core.table import SocketTable
    from socketd.service.call import Limits
    from socketd.service.guard import Guard
    from socketd.service.journal import Journal


@dataclass(frozen=True, slots=True)
class Ground:
    """What a noun stands on: the sockets, their bounds and second copies, time, and the record of changes.

    Attributes:
        guard: Knows who may do what, also where nobody asks.
        is_own_process: Whether a pid is the daemon's, or of who helps it hold the sockets.
        pump: Moves bytes between two of them.
    """

    table: SocketTable
    limits: Limits
    keeper: Keeper
    clock: Clock
    journal: Journal
    guard: Guard
    is_own_process: Callable[[int], bool]
    pump: Pump
