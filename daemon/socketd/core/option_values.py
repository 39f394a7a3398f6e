"""The single values that socket options are made of, checked, and as the ``struct`` module packs them."""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from typing import Final, TypeAlias, TypeVar

from socketd.core.vocabulary import close_matches, quoted
from socketd.errors import InvalidRequestError

Scalar: TypeAlias = bool | int | str | None
OptionValue: TypeAlias = bool | int | float | str | bytes | list[int] | dict[str, Scalar]
Packed: TypeAlias = int | bytes
_Address = TypeVar("_Address", ipaddress.IPv4Address, ipaddress.IPv6Address)

_INT_MIN: Final = -(2**31)
_INT_MAX: Final = 2**31 - 1
_UINT_MAX: Final = 2**32 - 1
_NOBODY: Final = _UINT_MAX
_PACKET_MEMBERSHIPS: Final = {"multicast": 0, "promisc": 1, "allmulti": 2, "unicast": 3}
_HARDWARE_ADDRESS_MAX: Final = 8


def bad_value(message: str, *, hint: str | None = None, symbol: str = "EINVAL") -> InvalidRequestError:
    """Make the error for a value that cannot be meant."""
    return InvalidRequestError(f"value: {message}", member="value", hint=hint, symbol=symbol)


def check_integer(value: object, least: int, most: int) -> int:
    """Return ``value`` if it is an integer within the range; a bool is none.

    Raises:
        InvalidRequestError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise bad_value(f"{quoted(value)} is no whole number")
    if not least <= value <= most:
        raise bad_value(f"{quoted(value)} is outside {least}..{most}")
    return int(value)


def interface_index(value: object) -> int:
    """Turn the name or the number of a network interface into its number; 0 leaves the choice to the kernel.

    Raises:
        InvalidRequestError: no interface of the daemon's network namespace has this name.
    """
    if not isinstance(value, str):
        return check_integer(value, 0, _INT_MAX)
    try:
        return socket.if_nametoindex(value)
    except (OSError, ValueError):  # ValueError: a NUL in it, or no text of the file system's encoding
        raise bad_value(
            f"{quoted(value)} is no network interface here",
            symbol="ENODEV",
            hint=f"known are {', '.join(name for _, name in socket.if_nameindex())}",
        ) from None


def ipv4(value: object) -> bytes:
    """Turn dotted text into the four bytes of ``struct in_addr``.

    Raises:
        InvalidRequestError: it is no IPv4 address.
    """
    return _parse(value, ipaddress.IPv4Address).packed


def _parse(value: object, make: type[_Address]) -> _Address:
    try:
        if isinstance(value, str) and "%" not in value:
            return make(value)
    except ValueError:
        pass
    raise bad_value(f"{quoted(value)} is no {make.__name__.removesuffix('Address')} address")


def ipv6(value: object) -> bytes:
    """Turn IPv6 text into the sixteen bytes of ``struct in6_addr``."""
    return _parse(value, ipaddress.IPv6Address).packed


def read_address(packed: Packed) -> str:
    """Write the bytes of an address as text."""
    return str(ipaddress.ip_address(packed))


def read_flag(packed: Packed) -> bool:
    """Read an int that says yes or no."""
    return packed != 0


def write_flag(value: object) -> int:
    """Check that a member is true or false."""
    if not isinstance(value, bool):
        raise bad_value(f"{quoted(value)} is neither true nor false")
    return int(value)


def read_number(packed: Packed) -> int:
    """Read a plain number."""
    return int(packed)


def read_id(packed: Packed) -> int | None:
    """Read a user or group; ``None`` for (uid_t)-1, which is nobody at all."""
    return None if packed == _NOBODY else int(packed)


def write_int(value: object) -> int:
    """Check a C ``int``."""
    return check_integer(value, _INT_MIN, _INT_MAX)


def write_natural(value: object) -> int:
    """Check a C ``int`` that is not negative."""
    return check_integer(value, 0, _INT_MAX)


def write_uint(value: object) -> int:
    """Check a C ``unsigned int``."""
    return check_integer(value, 0, _UINT_MAX)


def write_port(value: object) -> int:
    """Check a port number."""
    return check_integer(value, 0, 0xFFFF)


def write_sockaddr(value: object) -> bytes:
    """Make a ``sockaddr_in`` or ``sockaddr_in6`` of an address; the kernel reads no port or scope here."""
    if isinstance(value, str) and ":" in value:
        return struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, ipv6(value), 0)
    return struct.pack("=HH4s", socket.AF_INET, 0, ipv4(value))


def read_sockaddr(packed: Packed) -> str:
    """Write the address in a ``sockaddr_in`` or ``sockaddr_in6`` as text."""
    raw = bytes(packed)
    is_ipv6 = int.from_bytes(raw[:2], sys.byteorder) == socket.AF_INET6
    return read_address(raw[8:24] if is_ipv6 else raw[4:8])


def write_membership(value: object) -> int:
    """Turn the name of a ``PACKET_MR_*`` into its number."""
    if isinstance(value, str) and value.lower() in _PACKET_MEMBERSHIPS:
        return _PACKET_MEMBERSHIPS[value.lower()]
    raise bad_value(
        f"{quoted(value)} is no kind of membership of packet(7)",
        hint=close_matches(value if isinstance(value, str) else "", _PACKET_MEMBERSHIPS),
    )


def read_membership(packed: Packed) -> str:
    """Name a ``PACKET_MR_*``."""
    return next((name for name, number in _PACKET_MEMBERSHIPS.items() if number == packed), str(packed))


def write_hardware_address(value: object) -> bytes:
    """Pack ``mr_alen`` and ``mr_address`` of ``struct packet_mreq``."""
    try:
        raw = bytes.fromhex(value.replace(":", "")) if isinstance(value, str) else None
    except ValueError:
        raw = None
    if raw is None or len(raw) > _HARDWARE_ADDRESS_MAX:
        raise bad_value(f"{quoted(value)} is no hardware address", hint="written as 01:00:5e:00:00:01")
    return struct.pack("=H8s", len(raw), raw)


def read_hardware_address(packed: Packed) -> str:
    """Write ``mr_alen`` and ``mr_address`` as text."""
    length, raw = struct.unpack("=H8s", bytes(packed))
    return str(raw[:length].hex(":"))
