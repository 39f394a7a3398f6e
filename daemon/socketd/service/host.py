"""The host as the daemon sees it: its own process and descriptors, and the resolver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from socketd.core import resolve
from socketd.errors import UnknownDescriptorError
from socketd.kernel import procfs

if TYPE_CHECKING:
    from socketd.core.entry import Entry
    from socketd.core.resolve import AddressInfo, Question
    from socketd.core.seams import Resolver
    from socketd.core.table import SocketTable
    from socketd.kernel.procfs import Descriptor, FdInfo, Process
    from socketd.service.call import Call


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
        """List the daemon's descriptors, by number."""
        held = {entry.fd: entry for entry in self._table.entries()}
        rows = [Row(descriptor, held.get(descriptor.fd)) for descriptor in procfs.descriptors()]
        return [row for row in rows if row.entry is None or call.caller.may_see(row.entry.owner_uid)]

    def descriptor(self, call: Call, fd: int) -> tuple[str, FdInfo]:
        """Where one descriptor leads, and its fdinfo.

        Raises:
            UnknownDescriptorError: It is not open, or it is another caller's held socket.
        """
        for entry in self._table.entries():
            if entry.fd == fd and not call.caller.may_see(entry.owner_uid):
                raise UnknownDescriptorError(fd)
        return procfs.descriptor_link(fd), procfs.fdinfo(fd)

    def addrinfo(self, question: Question) -> tuple[AddressInfo, ...]:
        """``getaddrinfo(3)``."""
        return resolve.addrinfo(self._resolver, question)
