"""Socket addresses: checked when they are made, handed to the kernel as they are, said as text."""

from __future__ import annotations

import os
import socket
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from socketd.errors import InvalidRequestError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from socketd.core.seams import Way

PATH_BYTES: Final = 108  # sizeof(sun_path), unix(7)
HARDWARE_BYTES: Final = 8  # sizeof(sll_addr), packet(7)
UINT32_MAX: Final = 2**32 - 1
UINT32_DIGITS: Final = 10
UNSPECIFIED_HOSTS: Final = ("", "*")
_SHOWN: Final = 120  # characters of what somebody sent, in a message


@dataclass(frozen=True, slots=True)
class FileAccess:
    """Who may connect to a socket file; ``None`` leaves it as ``bind(2)`` makes it.

    Attributes:
        mode: Permission bits; whoever may write to the file may connect (unix(7)).
        group: A name or a number.
    """

    mode: int | None = None
    group: str | int | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """One address of one family.

    Attributes:
        family: ``AF_…``.
        sockaddr: The form that Python's ``socket`` module takes and gives for that family.
        file: What the socket file shall be like that ``bind`` makes at a path.
        way: How to come to a path for somebody who may not go everywhere; ``None``: as the kernel does.
            It was attached by whoever allowed the address, so that nobody can use the one without the other.
    """

    family: int
    sockaddr: Any
    file: FileAccess | None = field(default=None, compare=False)
    way: Way | None = field(default=None, compare=False, repr=False)

    def reached(self) -> AbstractContextManager[Any]:
        """Give what to connect or send to, which is good inside the block only.

        Raises:
            NotPermittedError, KernelRefusedError: As ``Way.reach``.
        """
        return nullcontext(self.sockaddr) if self.way is None else self.way.reach(self.sockaddr)


@dataclass(frozen=True, slots=True)
class Service:
    """A host and a service still to be looked up by ``getaddrinfo(3)``.

    Attributes:
        host: ``None`` means every address (when binding) or loopback (when connecting).
        service: A name (``"http"``) or a port number as text.
        flags: ``AI_…``, added to those the call itself implies.
    """

    host: str | None
    service: str | None
    flags: int = 0


Endpoint = Address | Service

UNSPEC: Final = Address(socket.AF_UNSPEC, None)
"""Connecting a datagram socket to it dissolves its association (connect(2))."""


def bounded(value: int, member: str, most: int) -> int:
    """Refuse a number that the address structure has no room for."""
    if not 0 <= value <= most:
        raise InvalidRequestError(f"{member} must be between 0 and {most}, not {value}", member=member)
    return value


def host_and_port(host: str | None, service: str | int | None, flags: int = 0) -> Endpoint:
    """Make an inet or inet6 address of a literal host, or something to look up.

    Raises:
        InvalidRequestError: The port is not a port, or the scope of an IPv6 literal is no interface.
    """
    port = _port(service)
    if host is not None and port is not None:
        literal = _literal(host, port)
        if literal is not None:
            return literal
    wanted = None if host is None or host in UNSPECIFIED_HOSTS else host
    if wanted is None and service is None:
        raise InvalidRequestError("an address needs a host or a service", member="host")
    return Service(wanted, None if service is None else str(service), flags)


def inet6(host: str, port: int, flowinfo: int = 0, scope_id: int = 0) -> Address:
    """Make an IPv6 address with its flow information and scope.

    Raises:
        InvalidRequestError: A member is out of range, or ``host`` is no IPv6 literal.
    """
    literal = _literal(host, bounded(port, "port", 0xFFFF))
    if literal is None or literal.family != socket.AF_INET6:
        raise InvalidRequestError(f"{host[:_SHOWN]!r} is not an IPv6 address", member="host")
    scope = scope_id or literal.sockaddr[3]
    # RFC 2460: the flow label has 20 bits; CPython refuses more with an OverflowError of its own.
    flow = bounded(flowinfo, "flowinfo", 0xFFFFF)
    return Address(socket.AF_INET6, (literal.sockaddr[0], port, flow, bounded(scope, "scope_id", UINT32_MAX)))


def unix_path(path: str | bytes) -> Address:
    """Make the address of a socket file.

    Raises:
        InvalidRequestError: The path is empty, relative, holds a NUL or is longer than ``sun_path``.
    """
    raw = _bytes(path, "path")
    if not raw.startswith(b"/"):
        raise InvalidRequestError(
            "a socket path must be absolute",
            member="path",
            hint="the daemon's working directory is not yours; abstract names are written @name",
        )
    if b"\0" in raw:
        raise InvalidRequestError("a socket path cannot hold a NUL", member="path")
    if len(raw) >= PATH_BYTES:
        raise InvalidRequestError(
            f"a socket path has at most {PATH_BYTES - 1} bytes, not {len(raw)}",
            member="path",
            symbol="ENAMETOOLONG",
            hint="unix(7): sun_path; an abstract name or a shorter directory helps",
        )
    return Address(socket.AF_UNIX, os.fsdecode(raw))


def unix_abstract(name: str | bytes) -> Address:
    """Make an abstract address; ``name`` is without the leading NUL, and may hold any bytes."""
    raw = _bytes(name, "abstract")
    if len(raw) >= PATH_BYTES:
        raise InvalidRequestError(
            f"an abstract name has at most {PATH_BYTES - 1} bytes, not {len(raw)}",
            member="abstract",
            symbol="ENAMETOOLONG",
        )
    return Address(socket.AF_UNIX, b"\0" + raw)


def unix_unnamed() -> Address:
    """Make the empty address: binding to it lets the kernel choose an abstract name (autobind, unix(7))."""
    return Address(socket.AF_UNIX, "")


def vsock(cid: int, port: int) -> Address:
    """Make a vsock address; ``VMADDR_CID_ANY`` is 4294967295, and so is the port "any".

    Source: vsock(7).
    """
    return Address(socket.AF_VSOCK, (bounded(cid, "cid", UINT32_MAX), bounded(port, "port", UINT32_MAX)))


def netlink(pid: int, groups: int = 0) -> Address:
    """Make a netlink address; ``pid`` 0 lets the kernel choose the port id.

    Source: netlink(7).
    """
    return Address(
        socket.AF_NETLINK, (bounded(pid, "pid", UINT32_MAX), bounded(groups, "groups", UINT32_MAX))
    )


def packet(
    interface: str, protocol: int = 0, packet_type: int = 0, hardware: tuple[int, bytes] = (0, b"")
) -> Address:
    """Make a packet address; ``protocol`` is an ``ETH_P_…`` in host order, 0 keeps the socket's own.

    Raises:
        InvalidRequestError: A member is out of range or there is no such interface.

    Source: packet(7).
    """
    check_interface(interface)
    bounded(protocol, "protocol", 0xFFFF)
    bounded(packet_type, "packet_type", 0xFF)
    kind, raw = hardware
    bounded(kind, "hardware_type", 0xFFFF)
    if len(raw) > HARDWARE_BYTES:
        raise InvalidRequestError(
            f"a hardware address has at most {HARDWARE_BYTES} bytes", member="hardware_address"
        )
    return Address(socket.AF_PACKET, (interface, protocol, packet_type, kind, raw))


def check_interface(name: str) -> int:
    """Give the index of a network interface.

    Raises:
        InvalidRequestError: There is none of that name (ENODEV).
    """
    try:
        return socket.if_nametoindex(name)
    except (OSError, ValueError) as error:
        raise InvalidRequestError(
            f"there is no network interface {name[:_SHOWN]!r}",
            member="interface",
            symbol="ENODEV",
            hint="'ip link' lists them",
        ) from error


def _bytes(name: str | bytes, member: str) -> bytes:
    try:
        return os.fsencode(name)
    except UnicodeEncodeError as error:  # JSON can hold half a surrogate pair
        raise InvalidRequestError(f"{name[:_SHOWN]!r} cannot be written in bytes", member=member) from error


def _port(service: str | int | None) -> int | None:
    if isinstance(service, int):
        return bounded(service, "port", 0xFFFF)
    if service is not None and service.isascii() and service.isdecimal():
        return bounded(int(service) if len(service) < UINT32_DIGITS else UINT32_MAX, "port", 0xFFFF)
    return None


def _literal(host: str, port: int) -> Address | None:
    """Read an IPv4 or IPv6 literal without asking any resolver."""
    try:
        socket.inet_pton(socket.AF_INET, host)
    except (OSError, ValueError):
        pass
    else:
        return Address(socket.AF_INET, (host, port))
    bare, percent, zone = host.partition("%")
    try:
        raw = socket.inet_pton(socket.AF_INET6, bare)
    except (OSError, ValueError):
        return None
    return Address(
        socket.AF_INET6, (socket.inet_ntop(socket.AF_INET6, raw), port, 0, _zone(zone) if percent else 0)
    )


def _zone(zone: str) -> int:
    if zone.isascii() and zone.isdecimal() and len(zone) <= UINT32_DIGITS:
        return bounded(int(zone), "scope_id", UINT32_MAX)
    return check_interface(zone)
