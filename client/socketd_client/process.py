"""The daemon's process as the operating system shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socketd_client.calls import TEXT, Call
from socketd_client.records import Descriptor, DescriptorDetail, ProcessInfo
from socketd_client.wire import listed

if TYPE_CHECKING:
    from socketd_client.exchange import Exchange


class Process:
    """The daemon's process; as ``client.process``.

    Example::

        print(client.process.info().pid)
        print(client.process.tree())
        print(client.process.descriptor(64).text)
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def info(self) -> ProcessInfo:
        """Return who the process is and what it uses."""
        return ProcessInfo.from_json(self._exchange.json(Call("GET", "/v1/process")))

    def descriptors(self) -> tuple[Descriptor, ...]:
        """List every open descriptor, held sockets and others."""
        answer = self._exchange.json(Call("GET", "/v1/process/fds"))
        return tuple(map(Descriptor.from_json, listed(answer, "descriptors")))

    def tree(self) -> str:
        """Return ``/proc/<pid>/fd`` drawn as a tree."""
        return self._exchange.send(Call("GET", "/v1/process/fds", accept=TEXT)).body.decode()

    def descriptor(self, fd: int) -> DescriptorDetail:
        """Return one descriptor's ``fdinfo``.

        Raises:
            OSError: EBADF, it is not open.
        """
        return DescriptorDetail.from_json(self._exchange.json(Call("GET", f"/v1/process/fds/{fd}")))
