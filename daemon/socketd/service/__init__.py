"""The only door inward, where every way into socketd asks whether it may, and then does it."""

from __future__ import annotations

import _socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from socketd.core.numbers import Numbers
from socketd.core.table import SocketTable
from socketd.service.call import Call, Limits
from socketd.service.host import Host
from socketd.service.operations import Operations
from socketd.service.passing import Passing
from socketd.service.sockets import Sockets
from socketd.service.transfers import Transfers

if TYPE_CHECKING:
    from socketd.core.seams import Clock, Resolver, SocketFactory

__all__ = ["Call", "Limits", "Service", "build"]


@dataclass(frozen=True, slots=True)
class Service:
    """What socketd does, by noun."""

    sockets: Sockets
    operations: Operations
    transfers: Transfers
    passing: Passing
    host: Host
    limits: Limits
    table: SocketTable

    def close(self) -> None:
        """Close every held socket; for the clean end of the daemon."""
        self.table.close_all()


def build(
    limits: Limits,
    *,
    resolver: Resolver,
    clock: Clock,
    numbers_first: int = 64,
    factory: SocketFactory = _socket.socket,
) -> Service:
    """Put the parts together around an empty table.

    Args:
        limits: Bounds on what one request may ask.
        resolver: ``getaddrinfo``; must not block the loop it runs in.
        clock: Time.
        numbers_first: The lowest number for a held socket; those below are the daemon's own.
        factory: ``socket(2)``; a test passes one that fails.
    """
    table = SocketTable(Numbers(numbers_first, limits.descriptors, limits.number_rest_s, clock), clock)
    return Service(
        sockets=Sockets(table, limits, resolver, factory),
        operations=Operations(table, limits, resolver),
        transfers=Transfers(table, limits, resolver),
        passing=Passing(table, limits, clock),
        host=Host(table, resolver),
        limits=limits,
        table=table,
    )
