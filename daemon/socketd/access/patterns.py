"""The addresses that a rule names, each kind a set of addresses."""

from __future__ import annotations

import glob
import os
import socket
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Protocol

from socketd.access import networks

if TYPE_CHECKING:
    from socketd.access.networks import IpAddress, IpNetwork
    from socketd.core.address import Address

EPHEMERAL: Final = (32_768, 60_999)
"""The default of net.ipv4.ip_local_port_range, from which the kernel chooses for port 0 (ip(7))."""
USER: Final = "{user}"
_NO_FILE_NAMES: Final = frozenset({"", ".", ".."})


@dataclass(frozen=True, slots=True)
class Place:
    """An address that somebody wants to bind or to reach.

    Attributes:
        is_remote: It shall be reached: the special ranges count.
        user: What ``{user}`` stands for; ``None``: no pattern that has it matches.
    """

    address: Address
    is_remote: bool
    user: str | None = None


class Pattern(Protocol):
    """A set of addresses."""

    def covers(self, place: Place) -> bool:
        """Whether the address is one of them."""


@dataclass(frozen=True, slots=True)
class Everything:
    """``*``: every address of every family."""

    def covers(self, place: Place) -> bool:
        """Say yes."""
        del place
        return True


@dataclass(frozen=True, slots=True)
class Ports:
    """A range of port numbers, both ends included."""

    low: int
    high: int

    def covers(self, port: int, *, is_remote: bool) -> bool:
        """Whether the port is in it; 0, when bound, is any of the ephemeral ones."""
        if port == 0 and not is_remote and self.low > 0:
            return self.low <= EPHEMERAL[0] and EPHEMERAL[1] <= self.high
        return self.low <= port <= self.high


@dataclass(frozen=True, slots=True)
class Inet:
    """``192.0.2.0/24:80``, ``[::1]:*``, ``*:8080``: a network (``None``: all of both versions) and ports."""

    network: IpNetwork | None
    ports: Ports

    def covers(self, place: Place) -> bool:
        """Whether host and port fit; what the address may stand for besides is asked as another place."""
        if place.address.family not in networks.INET:
            return False
        host, port = networks.host_of(place.address)
        return self.ports.covers(port, is_remote=place.is_remote) and self._reaches(host, place.is_remote)

    def _reaches(self, address: IpAddress, is_remote: bool) -> bool:  # noqa: FBT001 (private)
        """When connecting, a special address is reached only by a network that is as special."""
        if is_remote:
            address = networks.connected(address)
        network = self.network or networks.EVERY[address.version]
        if address not in network:  # an address of the other version never is
            return False
        special = networks.special(address) if is_remote else None
        return special is None or networks.lies_within(network, special)


@dataclass(frozen=True, slots=True)
class UnixPath:
    """``unix:/run/x/``: all beneath a folder; without the last slash: that one socket file."""

    template: str

    def covers(self, place: Place) -> bool:
        """Whether the path lies there, as it is written; links are the service's to look for."""
        path = place.address.sockaddr if place.address.family == socket.AF_UNIX else None
        wanted = self.path(place.user)
        if not isinstance(path, str) or not path or wanted is None or ".." in path.split("/"):
            return False
        if wanted.endswith("/"):
            return path.startswith(wanted) and bool(path[len(wanted) :].strip("/."))
        return path == wanted

    def folder(self, user: str | None) -> str | None:
        """Name the folder that nothing outside of is granted: of a single file the one it is in."""
        path = self.path(user)
        return None if path is None else path.rpartition("/")[0] or "/"

    def path(self, user: str | None) -> str | None:
        """Fill in ``{user}``; ``None`` for one who has no name, or one that is no file name."""
        if USER not in self.template:
            return self.template
        if user is None or user in _NO_FILE_NAMES or "/" in user or "\0" in user:
            return None
        return self.template.replace(USER, user)


@dataclass(frozen=True, slots=True)
class UnixAbstract:
    """``unix:@web.*``: abstract names by a glob; ``unix:@*`` has those that the kernel chooses, too."""

    template: str

    def covers(self, place: Place) -> bool:
        """Whether the name fits; the empty address, when bound, lets the kernel choose (unix(7))."""
        if place.address.family != socket.AF_UNIX:
            return False
        name = place.address.sockaddr
        if name == "":
            return self.template == "*" and not place.is_remote
        return isinstance(name, bytes) and fits(os.fsdecode(name[1:]), self.template, place.user)


@dataclass(frozen=True, slots=True)
class Vsock:
    """``vsock:2:1024-``: a context (``None``: any) and ports."""

    cid: int | None
    ports: Ports

    def covers(self, place: Place) -> bool:
        """Whether both fit."""
        if place.address.family != socket.AF_VSOCK:
            return False
        cid, port = place.address.sockaddr
        return self.cid in {None, cid} and self.ports.covers(port, is_remote=True)


@dataclass(frozen=True, slots=True)
class Family:
    """``netlink:*``: every address of one family."""

    family: int

    def covers(self, place: Place) -> bool:
        """Whether it is of that family."""
        return place.address.family == self.family


def fits(text: str, template: str, user: str | None) -> bool:
    """Whether ``text`` is what a glob says; ``{user}`` in it stands for itself, whatever signs it has."""
    if USER in template:
        if not user:
            return False
        template = template.replace(USER, glob.escape(user))
    return fnmatchcase(text, template)
