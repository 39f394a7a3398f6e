"""Held sockets come and go: create, accept, pair, ensure, list, find, close."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from socketd import inspection
from socketd.core import calls, creation
from socketd.core.table import Origin
from socketd.errors import (
    DiffersError,
    InvalidRequestError,
    KernelRefusedError,
    NameTakenError,
    SocketdError,
    StaleError,
)
from socketd.service import sameness

if TYPE_CHECKING:
    from socketd.core.address import Address
    from socketd.core.creation import Plan, Specification
    from socketd.core.entry import Entry
    from socketd.core.seams import Resolver, SocketFactory
    from socketd.core.table import SocketTable
    from socketd.core.waiting import Patience
    from socketd.service.call import Call, Limits

_BULK_STEP: Final = 64
"""Sockets made, accepted or looked at between two chances for other requests; some 2 ms of work."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sockets a listing shows; ``None`` means any."""

    family: int | None = None
    type: int | None = None
    state: str | None = None
    name: str | None = None
    port: int | None = None
    owner_uid: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing; ``next_after`` is the number to go on after, ``None`` at the end."""

    entries: tuple[Entry, ...]
    next_after: int | None


class Sockets:
    """The noun of the API; asks who may, does it, and gives entries."""

    def __init__(
        self, table: SocketTable, limits: Limits, resolver: Resolver, factory: SocketFactory
    ) -> None:
        self._table = table
        self._limits = limits
        self._resolver = resolver
        self._factory = factory

    def create(self, call: Call, wanted: Specification, origin: Origin, timeout_s: float | None) -> Entry:
        """Make a socket as far as the specification goes, in one call; nothing is left if a part fails.

        Raises:
            NameTakenError, ResolveError, InvalidRequestError, KernelRefusedError, OutOfDescriptorsError,
            WaitTimeoutError: As they say.
        """
        self._table.check_name(origin.name)
        plans = creation.plans(wanted, self._resolver)
        return self._first(wanted, plans, origin, call.patience(timeout_s, self._limits))

    def create_many(
        self, call: Call, wanted: Specification, origin: Origin, count: int, timeout_s: float | None
    ) -> list[Entry]:
        """Make ``count`` sockets alike, named ``NAME.0``, ``NAME.1``, …; all of them or none.

        Raises:
            SocketdError: As ``create``; ``index`` says which one failed.
        """
        if count > self._limits.max_count:
            raise InvalidRequestError(
                f"at most {self._limits.max_count} sockets can be made in one call", member="count"
            )
        plans = creation.plans(wanted, self._resolver)
        patience = call.patience(timeout_s, self._limits)
        made: list[Entry] = []
        try:
            for index in range(count):
                made.append(self._first(wanted, plans, _numbered(origin, index), patience))
                if len(made) % _BULK_STEP == 0:
                    call.waiter.give_way()
        except BaseException as error:
            self._discard(made)
            if isinstance(error, SocketdError):
                error.index = len(made)
            raise
        return made

    def pair(
        self, call: Call, family: int, kind: int, protocol: int, names: tuple[str | None, str | None]
    ) -> tuple[Entry, Entry]:
        """Make two sockets connected with each other (``socketpair(2)``)."""
        if names[0] is not None and names[0] == names[1]:
            raise NameTakenError(names[0])
        uid = call.caller.uid
        return creation.pair(
            self._table, family, kind, protocol, (Origin(uid, names[0]), Origin(uid, names[1]))
        )

    def ensure(
        self, call: Call, wanted: Specification, origin: Origin, timeout_s: float | None
    ) -> tuple[Entry, bool]:
        """Make sure that a socket of that name exists with that specification; say whether it was made.

        Raises:
            DiffersError: One of that name exists and is not that.
            NameTakenError: It is somebody else's.
            StaleError: ``If-Match`` names another, or there is none.
            SocketdError: As ``create``.
        """
        name = origin.name or ""
        # Names are looked up first: others may run meanwhile, and make or close what is looked at next.
        plans = creation.plans(wanted, self._resolver)
        if not self._table.has_name(name):
            if call.expected is not None:
                raise StaleError(name)
            return self._first(wanted, plans, origin, call.patience(timeout_s, self._limits)), True
        if not call.caller.may_see(self._table.find(name).owner_uid):
            raise NameTakenError(name)
        entry = call.find(self._table, name)
        differing = sameness.differences(entry, wanted, plans)
        if differing:
            raise DiffersError(name, differing)
        return entry, False

    def accept(
        self, call: Call, reference: str, timeout_s: float | None, most: int, name: str | None
    ) -> list[Entry]:
        """Wait for a connection, then take up to ``most`` that are there; each is held from here on.

        Raises:
            WouldBlockError, WaitTimeoutError, ClosedMeanwhileError, ClientGoneError: Nothing was taken.
            KernelRefusedError: EINVAL if it does not listen.
        """
        listener = call.find(self._table, reference)
        origin = Origin(call.caller.uid, name if name is None or most == 1 else f"{name}.0", listener.fd)
        accepted = [calls.accept(self._table, listener, origin, call.patience(timeout_s, self._limits))]
        while len(accepted) < most:
            following = replace(origin, name=None if name is None else f"{name}.{len(accepted)}")
            if len(accepted) % _BULK_STEP == 0:
                call.waiter.give_way()
            try:
                accepted.append(
                    calls.accept(self._table, listener, following, call.patience(0, self._limits))
                )
            except SocketdError:  # no more are there, or the next call will be told why it fails
                break
        return accepted

    def get(self, call: Call, reference: str) -> Entry:
        """Find one."""
        return call.find(self._table, reference)

    def page(self, call: Call, wanted: Filter, after: int, limit: int) -> Page:
        """List the caller's sockets (all of them for root) by number; other requests run meanwhile."""
        found: list[Entry] = []
        seen = (each for each in self._table.entries() if each.fd > after)
        for count, entry in enumerate(seen, start=1):
            if count % _BULK_STEP == 0:
                call.waiter.give_way()
            if entry.closed or not call.caller.may_see(entry.owner_uid) or not _fits(entry, wanted):
                continue
            if len(found) == limit:
                return Page(tuple(found), found[-1].fd)
            found.append(entry)
        return Page(tuple(found), None)

    def count(self, call: Call) -> int:
        """How many sockets exist for the caller."""
        return sum(call.caller.may_see(entry.owner_uid) for entry in self._table.entries())

    def close(self, call: Call, reference: str, *, shut_duplicates: bool) -> None:
        """Close it; with ``shut_duplicates`` every duplicate that a program took ends too."""
        entry = call.find(self._table, reference)
        if shut_duplicates:
            with contextlib.suppress(OSError):  # ENOTCONN: there is nothing to end
                entry.sock.shutdown(socket.SHUT_RDWR)
        self._table.close(entry)

    def _first(
        self, wanted: Specification, plans: tuple[Plan, ...], origin: Origin, patience: Patience
    ) -> Entry:
        """Try the plans in order; the first that works wins, and the first failure is the one told."""
        first: KernelRefusedError | None = None
        for plan in plans:
            try:
                return creation.make(self._table, self._factory, wanted, plan, origin, patience)
            except KernelRefusedError as error:
                if first is None:
                    first = with_holder(error, plan.local, wanted.type, wanted.protocol)
        assert first is not None  # noqa: S101 (there is at least one plan)
        raise first

    def _discard(self, made: list[Entry]) -> None:
        for entry in made:
            if not entry.closed:
                self._table.close(entry)


def with_holder(
    error: KernelRefusedError, address: Address | None, kind: int, protocol: int
) -> KernelRefusedError:
    """Add to a refused bind who has the address."""
    if error.symbol == "EADDRINUSE":
        holder = inspection.holder_hint(address, kind, protocol)
        if holder is not None:
            error.hint = f"{holder}; {error.hint}"
    return error


def _numbered(origin: Origin, index: int) -> Origin:
    return origin if origin.name is None else replace(origin, name=f"{origin.name}.{index}")


def _fits(entry: Entry, wanted: Filter) -> bool:
    """Cheap questions first; state and port ask the kernel."""
    if wanted.family is not None and entry.family != wanted.family:
        return False
    if wanted.type is not None and entry.type != wanted.type:
        return False
    if wanted.name is not None and entry.name != wanted.name:
        return False
    if wanted.owner_uid is not None and entry.owner_uid != wanted.owner_uid:
        return False
    view = inspection.View(entry)
    if wanted.port is not None and inspection.port(view) != wanted.port:
        return False
    return wanted.state is None or view.state == wanted.state
