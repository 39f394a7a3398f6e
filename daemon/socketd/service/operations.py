"""What is done to one held socket: bind, listen, connect, shutdown, options, inspection."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from socketd import inspection
from socketd.core import calls, connecting, options
from socketd.core.address import UNSPEC
from socketd.core.resolve import candidates
from socketd.errors import InvalidRequestError, KernelRefusedError, UnknownSocketError
from socketd.service.sockets import with_holder

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.core.address import Address, Endpoint
    from socketd.core.entry import Entry
    from socketd.core.options import Option, OptionValue
    from socketd.core.seams import Resolver
    from socketd.core.table import SocketTable
    from socketd.inspection import Info
    from socketd.service.call import Call, Limits

    Attempt = Callable[[Address], None]


@dataclass(frozen=True, slots=True)
class OptionReading:
    """An option with the value the kernel gave; ``None`` for one that can only be written."""

    option: Option
    value: OptionValue | None


class Operations:
    """The system calls by name, on sockets that exist for the caller."""

    def __init__(self, table: SocketTable, limits: Limits, resolver: Resolver) -> None:
        self._table = table
        self._limits = limits
        self._resolver = resolver

    def bind(self, call: Call, reference: str, endpoint: Endpoint) -> Entry:
        """Bind to the first address that works."""
        entry = call.find(self._table, reference)

        def attempt(address: Address) -> None:
            try:
                made = calls.bind(entry.sock, address)
            except KernelRefusedError as error:
                raise with_holder(error, address, entry.type, entry.protocol) from error
            entry.socket_file = made or entry.socket_file

        self._try_each(entry, endpoint, socket.AI_PASSIVE, attempt)
        return entry

    def listen(self, call: Call, reference: str, backlog: int) -> Entry:
        """Listen, or change the backlog of one that does."""
        entry = call.find(self._table, reference)
        calls.listen(entry.sock, backlog)
        return entry

    def connect(self, call: Call, reference: str, endpoint: Endpoint, timeout_s: float | None) -> Entry:
        """Connect to the first address that works; one deadline for all of them."""
        entry = call.find(self._table, reference)
        patience = call.patience(timeout_s, self._limits)
        if endpoint is UNSPEC:
            connecting.connect(entry, UNSPEC, patience)
        else:
            self._try_each(entry, endpoint, 0, lambda address: connecting.connect(entry, address, patience))
        return entry

    def shutdown(self, call: Call, reference: str, how: int) -> Entry:
        """End one or both directions."""
        entry = call.find(self._table, reference)
        calls.shutdown(entry, how)
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

    def set_option(self, call: Call, reference: str, name: str, value: object) -> OptionReading:
        """Set one option and read back what the kernel made of it."""
        entry = call.find(self._table, reference)
        option = options.lookup(name)
        options.set_option(entry.sock, option, value)
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

    def _try_each(self, entry: Entry, endpoint: Endpoint, flags: int, attempt: Attempt) -> None:
        first: KernelRefusedError | None = None
        for address in candidates(endpoint, entry.family, entry.type, self._resolver, flags):
            if entry.closed:  # while the name was looked up
                raise UnknownSocketError(entry.reference)
            try:
                attempt(address)
            except KernelRefusedError as error:
                first = first or error
            else:
                return
        if first is not None:
            raise first
