"""The daemon's own sockets, which no ordinary grant reaches."""

from __future__ import annotations

import posixpath
import socket
from typing import TYPE_CHECKING, Any

from socketd.access import networks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from socketd.access.networks import IpAddress
    from socketd.core.address import Address


def _anywhere(_address: IpAddress) -> bool:
    return True


class Reserved:
    """Addresses of the API and of the keeper.

    Args:
        addresses: As they are bound.
        is_local: Whether an address is this host's: asked for a listener on every address. Without an
            answer each one that has its port is taken for it.
    """

    def __init__(
        self, addresses: Iterable[Address] = (), is_local: Callable[[IpAddress], bool] = _anywhere
    ) -> None:
        self._is_local = is_local
        self._others: set[tuple[int, Any]] = set()
        self._hosts: dict[int, set[IpAddress]] = {}
        for address in addresses:
            if address.family in networks.INET:
                host, port = networks.host_of(address)
                self._hosts.setdefault(port, set()).add(host)
            else:
                self._others.add(_other(address))

    def __contains__(self, address: Address) -> bool:
        """Whether a connection to ``address`` would come to the daemon, or a bind take its place."""
        if address.family not in networks.INET:
            return _other(address) in self._others
        host, port = networks.host_of(address)
        listening = self._hosts.get(port)
        if listening is None:
            return False
        behind = networks.embedded(host)
        return self._is_there(host, listening) or (behind is not None and self._is_there(behind, listening))

    def _is_there(self, host: IpAddress, listening: set[IpAddress]) -> bool:
        if host.is_unspecified or host in listening:  # unspecified: each address of this host, so that one
            return True
        return any(each.is_unspecified for each in listening) and (host.is_loopback or self._is_local(host))


def _other(address: Address) -> tuple[int, Any]:
    """Tell paths by what they mean, as far as that can be read off them."""
    name = address.sockaddr
    if address.family == socket.AF_UNIX and isinstance(name, str):
        name = "/" + posixpath.normpath(name).lstrip("/")
    return address.family, name
