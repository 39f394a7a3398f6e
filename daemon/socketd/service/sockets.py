"""Held sockets come and go: create, accept, pair, ensure, list, find, close."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from socketd import inspection
from socketd.access.questions import Create
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
from socketd.service import asking, changes, sameness
from socketd.service.journal import journaled
from socketd.service.listing import Page, fits

if TYPE_CHECKING:
    from socketd.core.address import Address
    from socketd.core.creation import Plan, Specification
    from socketd.core.entry import Entry
    from socketd.core.seams import Resolver, SocketFactory
    from socketd.core.waiting import Patience
    from socketd.service.call import Call
    from socketd.service.ground import Ground
    from socketd.service.listing import Filter
    from socketd.service.promises import Promises

_BULK_STEP: Final = 64
"""Sockets made, accepted or looked at between two chances for other requests; some 2 ms of work."""


class Sockets:
    """The noun of the API; asks who may, does it, and gives entries.

    A repeat (``Call.key``) of what makes sockets is answered with those that the first one made, should the
    daemon have died in between. What is made or closed here the keeper knows when the method returns.
    """

    def __init__(
        self, ground: Ground, resolver: Resolver, factory: SocketFactory, promises: Promises
    ) -> None:
        self._table = ground.table
        self._limits = ground.limits
        self._keeper = ground.keeper
        self._journal = ground.journal
        self._resolver = resolver
        self._factory = factory
        self._promises = promises

    @journaled(changes.CREATED)
    def create(self, call: Call, wanted: Specification, origin: Origin, timeout_s: float | None) -> Entry:
        """Make a socket as far as the specification goes, in one call; nothing is left if a part fails.

        Raises:
            NameTakenError, ResolveError, InvalidRequestError, KernelRefusedError, OutOfDescriptorsError,
            WaitTimeoutError: As they say.
        """
        made = self._table.made_under(call.key)
        if made:
            return made[0]
        asking.require_names(call, (origin.name,))
        asking.require_making(call, wanted, creation.family(wanted))
        call.require_room(owner=origin.owner)
        self._table.check_name(origin.name)
        return self._make(call, wanted, self._plans(call, wanted), origin, timeout_s)

    @journaled(changes.CREATED)
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
        made = self._table.made_under(call.key)
        if made:
            return made
        each = replace(origin, key=call.key)
        asking.require_names(call, (_numbered(each, index).name for index in range(count)))
        asking.require_making(call, wanted, creation.family(wanted))
        call.require_room(count, origin.owner)
        plans = self._plans(call, wanted)
        patience = call.patience(timeout_s, self._limits)
        group = self._keeper.group()
        each = replace(each, group=group)
        try:
            for index in range(count):
                made.append(self._first(call, wanted, plans, _numbered(each, index), patience))
                if len(made) % _BULK_STEP == 0:
                    call.waiter.give_way()
        except BaseException as error:
            self._discard(call, made)
            if isinstance(error, SocketdError):
                error.index = len(made)
            raise
        finally:
            self._keeper.confirm(group)  # when it failed, all of the group is forgotten by now
        return made

    @journaled(changes.CREATED)
    def pair(
        self, call: Call, family: int, kind: int, protocol: int, names: tuple[str | None, str | None]
    ) -> list[Entry]:
        """Make two sockets connected with each other (``socketpair(2)``)."""
        made = self._table.made_under(call.key)
        if made:
            return made
        call.require(Create(family, kind, protocol))
        asking.require_names(call, names)
        call.require_room(len(names))
        if names[0] is not None and names[0] == names[1]:
            raise NameTakenError(names[0])
        group = self._keeper.group()
        left = Origin(call.caller.owner, names[0], key=call.key, group=group)
        try:
            made += creation.pair(self._table, family, kind, protocol, (left, replace(left, name=names[1])))
        finally:
            self._keeper.confirm(group)
        for entry in made:
            self._journal.note(call, changes.CREATED, entry)
        return made

    @journaled(changes.CREATED)
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
        asking.require_names(call, (name,))
        asking.require_making(call, wanted, creation.family(wanted))
        # Names are looked up first: others may run meanwhile, and make or close what is looked at next.
        plans = self._plans(call, wanted)
        if not self._table.has_name(name):
            if call.expected is not None:
                raise StaleError(name)
            return self._make(call, wanted, plans, origin, timeout_s), True
        if not call.may_see(self._table.find(name).owner):
            raise NameTakenError(name)
        entry = call.find(self._table, name)
        differing = sameness.differences(entry, wanted, plans)
        if differing:
            raise DiffersError(name, differing)
        return entry, False

    @journaled(changes.ACCEPTED)
    def accept(
        self, call: Call, reference: str, timeout_s: float | None, most: int, name: str | None
    ) -> list[Entry]:
        """Wait for a connection, then take up to ``most`` that are there; each is held from here on.

        Raises:
            WouldBlockError, WaitTimeoutError, ClosedMeanwhileError, ClientGoneError: Nothing was taken.
            KernelRefusedError: EINVAL if it does not listen.
        """
        made = self._table.made_under(call.key)
        if made:
            return made
        listener = call.find(self._table, reference)
        first = name if name is None or most == 1 else f"{name}.0"
        if name is not None:
            asking.require_names(call, [name] if most == 1 else (f"{name}.{i}" for i in range(most)))
        origin = Origin(call.caller.owner, first, listener.fd, key=call.key)
        accepted = [self._accepted(call, listener, origin, timeout_s)]
        while len(accepted) < most:
            following = replace(origin, name=None if name is None else f"{name}.{len(accepted)}")
            if len(accepted) % _BULK_STEP == 0:
                call.waiter.give_way()
            try:
                accepted.append(self._accepted(call, listener, following, 0))
            except SocketdError:  # no more are there, or the next call will be told why it fails
                break
        self._keeper.confirm()
        return accepted

    def get(self, call: Call, reference: str) -> Entry:
        """Find one."""
        return call.find(self._table, reference)

    def page(self, call: Call, wanted: Filter, after: int, limit: int) -> Page:
        """List the sockets that exist for the caller by number; other requests run meanwhile."""
        found: list[Entry] = []
        seen = (each for each in self._table.entries() if each.fd > after)
        for count, entry in enumerate(seen, start=1):
            if count % _BULK_STEP == 0:
                call.waiter.give_way()
            if entry.closed or not call.may_see(entry.owner) or not fits(entry, wanted):
                continue
            if len(found) == limit:
                return Page(tuple(found), found[-1].fd)
            found.append(entry)
        return Page(tuple(found), None)

    def count(self, call: Call) -> int:
        """How many sockets exist for the caller."""
        return sum(call.may_see(entry.owner) for entry in self._table.entries())

    @journaled(changes.CLOSED)
    def close(self, call: Call, reference: str, *, shut_duplicates: bool) -> None:
        """Close it; with ``shut_duplicates`` every duplicate that a program took ends too."""
        entry = call.find(self._table, reference)
        with self._promises.taken_back((entry,)):
            if shut_duplicates:
                with contextlib.suppress(OSError):  # ENOTCONN: there is nothing to end
                    entry.sock.shutdown(socket.SHUT_RDWR)
            self._table.close(entry)
            self._journal.note(call, changes.CLOSED, entry)
        self._keeper.confirm()  # its port is free, and its peer sees the end, when no copy is left

    def _plans(self, call: Call, wanted: Specification) -> tuple[Plan, ...]:
        return asking.allowed_plans(call, wanted, creation.plans(wanted, self._resolver))

    def _make(
        self,
        call: Call,
        wanted: Specification,
        plans: tuple[Plan, ...],
        origin: Origin,
        timeout_s: float | None,
    ) -> Entry:
        if call.key is not None:
            origin = replace(origin, key=call.key)
        entry = self._first(call, wanted, plans, origin, call.patience(timeout_s, self._limits))
        self._keeper.confirm()
        return entry

    def _first(
        self,
        call: Call,
        wanted: Specification,
        plans: tuple[Plan, ...],
        origin: Origin,
        patience: Patience,
    ) -> Entry:
        """Try the plans in order; the first that works wins, and the first failure is the one told."""
        first: KernelRefusedError | None = None
        for plan in plans:
            call.require_room(owner=origin.owner)  # others may have made some since it was asked first
            try:
                entry = creation.make(self._table, self._factory, wanted, plan, origin, patience)
            except KernelRefusedError as error:
                if first is None:
                    first = with_holder(call, error, plan.local, wanted.type, wanted.protocol)
            else:
                self._journal.note_made(call, entry, wanted)
                return entry
        assert first is not None  # noqa: S101 (there is at least one plan)
        raise first

    def _accepted(self, call: Call, listener: Entry, origin: Origin, timeout_s: float | None) -> Entry:
        patience = call.patience(timeout_s, self._limits)
        entry = calls.accept(self._table, listener, origin, patience, call.require_room)
        self._journal.note_peer(call, changes.ACCEPTED, entry)
        return entry

    def _discard(self, call: Call, made: list[Entry]) -> None:
        for entry in made:
            if not entry.closed:
                self._table.close(entry)
                self._journal.note(call, changes.CLOSED, entry)


def with_holder(
    call: Call, error: KernelRefusedError, address: Address | None, kind: int, protocol: int
) -> KernelRefusedError:
    """Add to a refused bind who has the address, for those who see everybody's sockets."""
    if error.symbol == "EADDRINUSE" and call.guard.sees_all(call.caller):
        holder = inspection.holder_hint(address, kind, protocol)
        if holder is not None:
            error.hint = f"{holder}; {error.hint}"
    return error


def _numbered(origin: Origin, index: int) -> Origin:
    return origin if origin.name is None else replace(origin, name=f"{origin.name}.{index}")
