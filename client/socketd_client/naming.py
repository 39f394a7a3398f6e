"""Addresses as callers give them (the ``socket`` module's tuples) turned into what a request carries."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

from socketd_client.addresses import (
    Address,
    Inet6Address,
    InetAddress,
    NetlinkAddress,
    PacketAddress,
    SocketAddress,
    UnixAddress,
    VsockAddress,
)
from socketd_client.arguments import integer, is_literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PORT_MOST: Final = 0xFFFF
_FLOWINFO_MOST: Final = 0xFFFFF
_UINT_MOST: Final = 0xFFFFFFFF
_INET_LENGTH: Final = 2
_INET6_LENGTHS: Final = (2, 3, 4)
_PACKET_LENGTHS: Final = (2, 3, 4, 5)
_PACKET_REST: Final[tuple[Any, ...]] = (0, 0, b"")

# What getsockname() says before anything is bound.
_UNBOUND: Final[dict[str, SocketAddress]] = {
    "inet": ("0.0.0.0", 0),  # noqa: S104 - an answer, not something to bind
    "inet6": ("::", 0, 0, 0),
    "unix": "",
    "vsock": (_UINT_MOST, _UINT_MOST),
    "netlink": (0, 0),
    "packet": ("", 0, 0, 0, b""),
}


def unbound(family: str) -> SocketAddress:
    """Return the address of a socket that has none yet."""
    return _UNBOUND.get(family, "")


def wire_address(value: object, family: str, op: str) -> dict[str, Any] | str:
    """Turn an address for a socket of ``family`` into a request's.

    Args:
        value: A record of ours, or what the ``socket`` module takes for the family.
        family: The socket's, as the wire names it.
        op: The call it is for; part of the messages, which are the standard library's.

    Raises:
        TypeError: ``value`` is not of the family's form.
        OverflowError: A port, or flow info, is out of range.
    """
    if isinstance(value, Address):
        return value.to_json()
    reader = _READERS.get(family)
    if reader is None:
        raise OSError(f"{op}(): unknown address family")
    return reader(value, op)


def guessed_address(value: object, op: str) -> object:
    """Turn an address into a request's where the family is not known: text and objects pass as they are."""
    if isinstance(value, Address):
        return value.to_json()
    if isinstance(value, bytes):
        return UnixAddress.from_name(value).to_json()
    if isinstance(value, tuple):
        is_inet6 = len(value) > _INET_LENGTH or (bool(value) and ":" in str(value[0]))
        return wire_address(value, "inet6" if is_inet6 else "inet", op)
    return value


def address_text(address: Mapping[str, Any] | str) -> str | None:
    """Write a request's address in one line, for a query string; ``None`` if that would lose part of it."""
    if isinstance(address, str):
        return address
    family, host = address.get("family"), str(address.get("host", ""))
    if "service" in address:
        return f"[{host}]:{address['service']}" if ":" in host else f"{host}:{address['service']}"
    if family == "inet":
        return f"{host}:{address['port']}"
    if family == "inet6" and not address["flowinfo"]:
        scope = f"%{address['scope_id']}" if address["scope_id"] else ""
        return f"[{host}{scope}]:{address['port']}"
    if "abstract" in address:
        return f"@{address['abstract']}"
    path = address.get("path")
    return path if isinstance(path, str) else None


def _inet(value: object, op: str) -> dict[str, Any]:
    members = _members(value, "AF_INET", (_INET_LENGTH,), op)
    host, port = _host(members[0]), _port(members[1], op)
    if host in ("", "<broadcast>"):
        host = "255.255.255.255" if host else "0.0.0.0"  # noqa: S104 - what "" means to bind(2)
    if is_literal(socket.AF_INET, host):
        return InetAddress(host=host, port=port).to_json()
    return {"host": host, "service": str(port)}


def _inet6(value: object, op: str) -> dict[str, Any]:
    members = _members(value, "AF_INET6", _INET6_LENGTHS, op)
    host, port = _host(members[0]) or "::", _port(members[1], op)
    flowinfo, scope_id = (integer(part) for part in (*members[2:], 0, 0)[:2])
    if not 0 <= flowinfo <= _FLOWINFO_MOST:
        raise OverflowError(f"{op}(): flowinfo must be 0-1048575.")
    scope_id &= _UINT_MOST  # as CPython, which has an unsigned int for it
    if is_literal(socket.AF_INET6, host):
        return Inet6Address(host=host, port=port, flowinfo=flowinfo, scope_id=scope_id).to_json()
    return {"host": host, "service": str(port)}


def _unix(value: object, _op: str) -> dict[str, Any]:
    if not isinstance(value, str):
        try:
            value = bytes(memoryview(value))  # type: ignore[arg-type]  # that is the question
        except TypeError:
            raise TypeError(f"a bytes-like object is required, not '{type(value).__name__}'") from None
    return UnixAddress.from_name(value).to_json()


def _vsock(value: object, op: str) -> dict[str, Any]:
    cid, port = (integer(part) for part in _members(value, "AF_VSOCK", (_INET_LENGTH,), op))
    return VsockAddress(cid=cid, port=port).to_json()


def _netlink(value: object, op: str) -> dict[str, Any]:
    pid, groups = (integer(part) for part in _members(value, "AF_NETLINK", (_INET_LENGTH,), op))
    return NetlinkAddress(pid=pid, groups=groups).to_json()


def _packet(value: object, op: str) -> dict[str, Any]:
    members = _members(value, "AF_PACKET", _PACKET_LENGTHS, op)
    protocol = integer(members[1])
    if not 0 <= protocol <= _PORT_MOST:
        raise OverflowError(f"{op}(): proto must be 0-65535.")
    rest: tuple[Any, ...] = (*members[2:], *_PACKET_REST[len(members) - 2 :])
    packet_type, hardware_type, hardware = rest
    return PacketAddress(
        interface=_host(members[0]),
        protocol=protocol,
        packet_type=integer(packet_type),
        hardware_type=integer(hardware_type),
        hardware_address=bytes(hardware).hex(":"),
    ).to_json()


def _members(value: object, family: str, lengths: tuple[int, ...], op: str) -> tuple[Any, ...]:
    if not isinstance(value, tuple):
        raise TypeError(f"{op}(): {family} address must be tuple, not {type(value).__name__}")
    if len(value) not in lengths:
        raise TypeError(f"{op}(): {family} address must have {' or '.join(map(str, lengths))} members")
    return value


def _host(value: object) -> str:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("ascii")
    if not isinstance(value, str):
        raise TypeError(f"str, bytes or bytearray expected, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError("host name must not contain null character")
    return value


def _port(value: object, op: str) -> int:
    port = integer(value)
    if not 0 <= port <= _PORT_MOST:
        raise OverflowError(f"{op}(): port must be 0-65535.")
    return port


_READERS: Final[dict[str, Callable[[object, str], dict[str, Any]]]] = {
    "inet": _inet,
    "inet6": _inet6,
    "unix": _unix,
    "vsock": _vsock,
    "netlink": _netlink,
    "packet": _packet,
}
