"""What is done to one held socket: bind, listen, connect, shutdown, options, inspection."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from socketd import inspection
from socketd.access.questions import SetOption
from socketd.core import calls, connecting, options
from socketd.core.address import UNSPEC
from socketd.core.resolve import candidates
from socketd.errors import (
    InvalidRequestError,
    KernelRefusedError,
    NotPermittedError,
    UnknownSocketError,
)
from socketd.service import asking, changes
from socketd.service.journal import journaled
from socketd.service.sockets import with_holder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from socketd.core.address import Address, Endpoint
    from socketd.core.entry import Entry
    from socketd.core.options import Option, OptionValue
    from socketd.core.seams import Resolver
    from socketd.inspection import Info
    from socketd.service.call import Call
    from socketd.service.ground import Ground

    Attempt = Callable[[Address], None]
    Permit = Callable[[Address], Address]


@dataclass(frozen=True, slots=True)
class OptionReading:
    """An option with the value the kernel gave; ``None`` for one that can only be written."""

    option: Option
    value: OptionValue | None


class Operations:
    """The system calls by name, on sockets that exist for the caller."""

    def __init__(self, ground: Ground, resolver: Resolver) -> None:
        self._table = ground.table
        self._limits = ground.limits
        self._keeper = ground.keeper
        self._journal = ground.journal
        self._resolver = resolver

    @journaled(changes.BOUND)
    def bind(self, call: Call, reference: str, endpoint: Endpoint) -> Entry:
        """Bind to the first address that works, of those that the policy grants."""
        entry = call.find(self._table, reference)
        before = entry.socket_file
        is_dual = asking.is_dual(entry)

        def permit(address: Address) -> Address:
            return asking.to_bind(call, endpoint, address, is_dual=is_dual)

        def attempt(address: Address) -> None:
            try:
                made = calls.bind(entry.sock, address)
            except KernelRefusedError as error:
                raise with_holder(call, error, address, entry.type, entry.protocol) from error
            entry.socket_file = made or entry.socket_file

        asking.require_lookup(call, endpoint)
        self._try_each(entry, endpoint, socket.AI_PASSIVE, permit, attempt)
        self._journal.note_bound(call, entry, changes.BOUND)
        if entry.socket_file is not before:  # the one thing about an address that the kernel does not know
            self._keeper.update(entry)
            self._keeper.confirm()
        return entry

    @journaled(changes.LISTENING)
    def listen(self, call: Call, reference: str, backlog: int) -> Entry:
        """Listen, or change the backlog of one that does."""
        entry = call.find(self._table, reference)
        asking.require_listening(call, entry)
        calls.listen(entry.sock, backlog)
        self._journal.note_bound(call, entry, changes.LISTENING)
        return entry

    @journaled(changes.CONNECTED)
    def connect(self, call: Call, reference: str, endpoint: Endpoint, timeout_s: float | None) -> Entry:
        """Connect to the first address that works and is granted; one deadline for all of them."""
        entry = call.find(self._table, reference)
        patience = call.patience(timeout_s, self._limits)
        if endpoint is UNSPEC:
            connecting.connect(entry, UNSPEC, patience)
        else:
            asking.require_lookup(call, endpoint)
            self._try_each(
                entry,
                endpoint,
                0,
                lambda address: asking.to_reach(call, endpoint, address),
                lambda address: connecting.connect(entry, address, patience),
            )
        self._journal.note_peer(call, changes.CONNECTED, entry)
        return entry

    @journaled(changes.SHUT_DOWN)
    def shutdown(self, call: Call, reference: str, how: int) -> Entry:
        """End one or both directions."""
        entry = call.find(self._table, reference)
        calls.shutdown(entry, how)
        self._journal.note(call, changes.SHUT_DOWN, entry, how)
        return entry

    def info(self, call: Call, reference: str) -> tuple[Entry, Info]:
        """Ask the kernel everything it knows."""
        entry = call.find(self._table, reference)
        return entry, inspection.info(entry)

    def get_option(self, call: Call, reference: str, name: str, length: int | None) -> OptionReading:
        """Read one option; ``length`` asks for that many raw bytes."""
        entry = call.find(self._table, reference)
        option = options.lookup(name)
        return OptionReading(option, options.get_option(entry.sock, option, length))

    @journaled(changes.OPTION_SET)
    def set_option(self, call: Call, reference: str, name: str, value: object) -> OptionReading:
        """Set one option and read back what the kernel made of it."""
        entry = call.find(self._table, reference)
        option = options.lookup(name)
        call.require(SetOption(option.name))
        options.set_option(entry.sock, option, value)
        self._journal.note(call, changes.OPTION_SET, entry, option.name)
        if not option.readable:
            return OptionReading(option, None)
        try:
            return OptionReading(option, options.get_option(entry.sock, option))
        except (KernelRefusedError, InvalidRequestError):
            # Set is set: TCP_REPAIR_QUEUE and a few more can be written but not read in this state.
            return OptionReading(option, None)

    def list_options(self, call: Call, reference: str) -> list[OptionReading]:
        """Read every option that such a socket has and that reading does not use up."""
        entry = call.find(self._table, reference)
        found = []
        for option in options.applicable(entry.family, entry.type, entry.protocol):
            try:
                found.append(OptionReading(option, options.get_option(entry.sock, option)))
            except KernelRefusedError:  # not in this state, or not in this kernel
                continue
        return found

    def _try_each(
        self, entry: Entry, endpoint: Endpoint, flags: int, permit: Permit, attempt: Attempt
    ) -> None:
        """Try what is granted in order; what is not is left out, unless nothing is."""
        found = candidates(endpoint, entry.family, entry.type, self._resolver, flags)
        first: KernelRefusedError | None = None
        for address in permitted(found, permit):
            if entry.closed:  # while the name was looked up, or the one before tried
                raise UnknownSocketError(entry.reference)
            try:
                attempt(address)
            except KernelRefusedError as error:
                first = first or error
            else:
                return
        if first is not None:
            raise first


def permitted(found: Sequence[Address], permit: Permit) -> list[Address]:
    """Leave the addresses that are granted, at least one.

    Raises:
        NotPermittedError: None is; says so of the first.
    """
    first: NotPermittedError | None = None
    left = []
    for address in found:
        try:
            left.append(permit(address))
        except NotPermittedError as error:
            first = first or error
    if not left and first is not None:
        raise first
    return left
