"""Making a socket from a specification: socket, options, bind, listen, connect; all of it or nothing."""

from __future__ import annotations

import _socket
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from socketd.core import calls, connecting, options
from socketd.core.address import Address, Endpoint
from socketd.core.hints import refused
from socketd.core.resolve import candidates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd.core.entry import Entry
    from socketd.core.options import Option
    from socketd.core.seams import Resolver, SocketFactory
    from socketd.core.table import Origin, SocketTable
    from socketd.core.waiting import Patience


@dataclass(frozen=True, slots=True)
class Specification:
    """What a new socket shall be.

    Attributes:
        family: ``None``: as the addresses say, else inet.
        options: Set before ``bind``, in this order.
        backlog: ``None``: do not listen.
    """

    family: int | None
    type: int
    protocol: int
    options: tuple[tuple[Option, object], ...] = ()
    bind: Endpoint | None = None
    connect: Endpoint | None = None
    backlog: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to make it: a family with the addresses resolved."""

    family: int
    local: Address | None
    remote: Address | None


def plans(wanted: Specification, resolver: Resolver) -> tuple[Plan, ...]:
    """List the ways to try in order, at least one; asks the resolver for names.

    Raises:
        ResolveError: A name has no address.
        InvalidRequestError: The addresses and the family do not fit together.
    """
    return tuple(_plans(wanted, resolver))


def make(
    table: SocketTable,
    factory: SocketFactory,
    wanted: Specification,
    plan: Plan,
    origin: Origin,
    patience: Patience,
) -> Entry:
    """Make and hold one socket; whatever fails, nothing of it is left.

    Raises:
        KernelRefusedError: What one of the calls answered.
        OutOfDescriptorsError, NameTakenError, WaitTimeoutError, ClientGoneError: As they say.
    """
    sock = _new(factory, plan.family, wanted)
    file = None
    try:
        for option, value in wanted.options:
            options.set_option(sock, option, value)
        if plan.local is not None:
            file = calls.bind(sock, plan.local)
        if wanted.backlog is not None:
            calls.listen(sock, wanted.backlog)
        entry = table.hold(sock, origin, file, is_finished=plan.remote is None)
    except BaseException:
        sock.close()
        if file is not None:
            file.remove()
        raise
    if plan.remote is not None:
        _connect(table, entry, plan.remote, patience)
        table.finish(entry, origin.group)
    return entry


def pair(
    table: SocketTable, family: int, kind: int, protocol: int, origins: tuple[Origin, Origin]
) -> tuple[Entry, Entry]:
    """Make two connected sockets and hold both.

    Raises:
        KernelRefusedError: EOPNOTSUPP for most families but unix.

    Source: socketpair(2).
    """
    for origin in origins:
        table.check_name(origin.name)
    try:
        left, right = _socket.socketpair(family, kind, protocol)
    except OSError as error:
        raise refused(error, "socketpair") from error
    try:
        first = table.hold(left, origins[0])
    except BaseException:
        right.close()
        raise
    try:
        return first, table.hold(right, origins[1])
    except BaseException:
        table.close(first)
        raise


def family(wanted: Specification) -> int | None:
    """Tell the family of what shall be made; ``None`` if that depends on what a name is resolved to."""
    given = [each for each in (wanted.bind, wanted.connect) if each is not None]
    if wanted.family is not None:
        return wanted.family
    found = next((each.family for each in given if isinstance(each, Address)), None)
    return socket.AF_INET if found is None and not given else found


def _plans(wanted: Specification, resolver: Resolver) -> Iterator[Plan]:
    known = family(wanted)
    for local in _resolved(wanted.bind, known, wanted.type, resolver, socket.AI_PASSIVE):
        chosen = known if local is None else local.family
        for remote in _resolved(wanted.connect, chosen, wanted.type, resolver, 0):
            plan_family = chosen if remote is None else remote.family
            yield Plan(socket.AF_INET if plan_family is None else plan_family, local, remote)


def _resolved(
    endpoint: Endpoint | None, family: int | None, kind: int, resolver: Resolver, flags: int
) -> tuple[Address | None, ...]:
    if endpoint is None:
        return (None,)
    return candidates(endpoint, family, kind, resolver, flags)


def _connect(table: SocketTable, entry: Entry, remote: Address, patience: Patience) -> None:
    try:
        connecting.connect(entry, remote, patience)
    except BaseException:
        if not entry.closed:
            table.close(entry)
        raise


def _new(factory: SocketFactory, family: int, wanted: Specification) -> _socket.socket:
    try:
        return factory(family, wanted.type, wanted.protocol)
    except OSError as error:
        raise refused(error, "socket") from error
