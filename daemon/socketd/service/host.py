"""The host as the daemon sees it: its own process and descriptors, and the resolver."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd.core import resolve
from socketd.core.owner import Owner
from socketd.errors import UnknownDescriptorError
from socketd.kernel import procfs

if TYPE_CHECKING:
    from socketd.core.entry import Entry
    from socketd.core.resolve import AddressInfo, Question
    from socketd.core.seams import Resolver
    from socketd.core.table import SocketTable
    from socketd.kernel.procfs import Descriptor, FdInfo, Process
    from socketd.service.call import Call

_STEP: Final = 256
"""Descriptors looked at between two chances for other requests; some 2 ms of work."""


@dataclass(frozen=True, slots=True)
class Row:
    """One descriptor of the daemon, with the held socket it is, if it is one."""

    descriptor: Descriptor
    entry: Entry | None


class Host:
    """Readings that belong to no held socket. Another caller's sockets are left out of them."""

    def __init__(self, table: SocketTable, resolver: Resolver) -> None:
        self._table = table
        self._resolver = resolver

    def process(self) -> Process:
        """Read the daemon's own process."""
        return procfs.process()

    def descriptors(self, call: Call) -> list[Row]:
        """List the daemon's descriptors, by number: held sockets, and what the daemon opened for itself.

        A caller finds those that it may see. The daemon's own are its user's, as they are in /proc; among
        them are other callers' connections to the API, and what is on its way to one or from one.
        """
        before = self._table.entries()
        found = []
        for count, descriptor in enumerate(procfs.descriptors(), start=1):
            found.append(descriptor)
            if count % _STEP == 0:
                call.waiter.give_way()
        # Meanwhile others run, and close and make sockets; neither kind is taken for the daemon's own.
        held = {entry.fd: entry for entry in (*before, *self._table.entries())}
        rows = [Row(descriptor, held.get(descriptor.fd)) for descriptor in found]
        return [row for row in rows if _may_see(call, row.entry)]

    def descriptor(self, call: Call, fd: int) -> tuple[str, FdInfo]:
        """Where one descriptor leads, and its fdinfo.

        Raises:
            UnknownDescriptorError: It is not open, or it is none that this caller may see.
        """
        if not _may_see(call, next((entry for entry in self._table.entries() if entry.fd == fd), None)):
            raise UnknownDescriptorError(fd)
        return procfs.descriptor_link(fd), procfs.fdinfo(fd)

    def addrinfo(self, call: Call, question: Question) -> tuple[AddressInfo, ...]:
        """``getaddrinfo(3)``.

        Raises:
            NotPermittedError: The policy grants the caller nothing for which it could need that.
            ResolveError: There is no such name.
        """
        call.guard.require_lookup(call.caller)
        return resolve.addrinfo(self._resolver, question)


def _may_see(call: Call, entry: Entry | None) -> bool:
    """Whether a descriptor is there for this caller; no entry is one that the daemon opened for itself."""
    return call.may_see(Owner(os.getuid()) if entry is None else entry.owner)
