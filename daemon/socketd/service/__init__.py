"""The only door inward, where every way into socketd asks whether it may, and then does it."""

from __future__ import annotations

import _socket
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from socketd.access import policy_file
from socketd.access.policy import Policy
from socketd.core.keeping import ALONE
from socketd.core.numbers import Numbers
from socketd.core.pumping import NO_PUMP
from socketd.core.table import SocketTable
from socketd.service.boot import NO_ARCHIVE, Archive, Boot
from socketd.service.call import Call, Limits
from socketd.service.changes import CLOSED
from socketd.service.figures import Counting
from socketd.service.following import Following
from socketd.service.forwards import Forwards
from socketd.service.ground import Ground
from socketd.service.guard import Fixed, Guard
from socketd.service.host import Host
from socketd.service.journal import Journal
from socketd.service.names import Names
from socketd.service.operations import Operations
from socketd.service.passing import Passing
from socketd.service.promises import Promises
from socketd.service.sockets import Sockets
from socketd.service.standing import Standings
from socketd.service.streams import Streams
from socketd.service.transfers import Transfers
from socketd.service.tunnels import Tunnels

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.core.pumping import Pump
    from socketd.core.seams import Clock, Keeper, Resolver, SocketFactory
    from socketd.service.guard import InForce

__all__ = ["NO_ARCHIVE", "Archive", "Call", "Limits", "Service", "build"]


@dataclass(frozen=True, slots=True)
class Service:
    """What socketd does, by noun."""

    sockets: Sockets
    names: Names
    boot: Boot
    operations: Operations
    transfers: Transfers
    streams: Streams
    passing: Passing
    forwards: Forwards
    tunnels: Tunnels
    host: Host
    limits: Limits
    table: SocketTable
    keeper: Keeper
    journal: Journal
    following: Following
    counting: Counting
    standings: Standings
    guard: Guard

    def close(self) -> None:
        """Close every held socket, for good; the keeper lets go of them, too."""
        self.boot.end()
        held = self.table.entries()
        self.table.close_all()
        for entry in held:
            self.journal.note(None, CLOSED, entry)
        self.keeper.confirm()

    def leave(self) -> None:
        """Stop without closing anything: the keeper goes on holding what is held."""
        self.boot.end()
        self.keeper.confirm()


def build(  # noqa: PLR0913 (one for each seam)
    limits: Limits,
    *,
    resolver: Resolver,
    clock: Clock,
    factory: SocketFactory = _socket.socket,
    keeper: Keeper = ALONE,
    archive: Archive = NO_ARCHIVE,
    policies: InForce | None = None,
    is_own_process: Callable[[int], bool] = lambda _: False,
    pump: Pump = NO_PUMP,
) -> Service:
    """Put the parts together around an empty table.

    Args:
        limits: Bounds on what one request may ask.
        resolver: ``getaddrinfo``; must not block the loop it runs in.
        clock: Time.
        factory: ``socket(2)``; a test passes one that fails.
        keeper: Who holds the second copies.
        archive: Where ``persist: boot`` is saved; without one it is refused.
        policies: Has the policy in force; without it that is the one that socketd comes with.
        is_own_process: Tells by the pid from which processes nobody may have a descriptor taken.
        pump: Moves bytes between two sockets; without one tunnels and forwards are refused.
    """
    numbers = Numbers(limits.first_number, limits.descriptors, limits.number_rest_s, clock)
    table = SocketTable(numbers, clock, keeper)
    guard = Guard(policies or Fixed(_built_in()), table, clock)
    ground = Ground(table, limits, keeper, clock, Journal(clock, table), guard, is_own_process, pump)
    return _furnish(ground, resolver, factory, archive)


def _furnish(ground: Ground, resolver: Resolver, factory: SocketFactory, archive: Archive) -> Service:
    """Put every noun on its ground."""
    table, guard = ground.table, ground.guard
    promises = Promises(table, archive.store, ground.keeper)
    following = Following(ground.journal)
    sockets = Sockets(ground, resolver, factory, promises)
    forwards = Forwards(ground)
    operations = Operations(ground, resolver)
    return Service(
        sockets=sockets,
        names=Names(ground, promises),
        boot=Boot(ground, sockets, promises, archive),
        operations=operations,
        transfers=Transfers(ground, resolver),
        streams=Streams(ground, operations),
        passing=Passing(ground, promises),
        forwards=forwards,
        tunnels=Tunnels(ground),
        host=Host(table, resolver),
        limits=ground.limits,
        table=table,
        keeper=ground.keeper,
        journal=ground.journal,
        following=following,
        counting=Counting(table, following, forwards),
        standings=Standings(guard),
        guard=guard,
    )


def _built_in() -> Policy:
    document = policy_file.parse(policy_file.built_in_text(), "built-in policy")
    return Policy(document, daemon_uid=os.geteuid())
