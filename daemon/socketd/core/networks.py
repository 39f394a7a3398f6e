"""The arithmetic of an IP network: what an address and a prefix say together."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from socketd.core.vocabulary import quoted, whole_number
from socketd.errors import InvalidRequestError

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_PREFIX_TEXT: Final = re.compile(r"[0-9]{1,3}")
_IPV4: Final = 4


@dataclass(frozen=True, slots=True)
class Network:
    """An address within its network.

    Attributes:
        address: In canonical text (RFC 5952 for IPv6).
        mask: As an address: ``255.255.255.0``, ``ffff:ffff::``.
        wildcard: The mask's complement.
        broadcast: ``None`` where there is none: IPv6, and IPv4 /31 and /32.
        first_usable: The first address a host can have. IPv4 leaves out network and broadcast address;
            IPv6 leaves out the Subnet-Router anycast address, the lowest (RFC 4291 2.6.1). The two
            addresses of a /31 (RFC 3021) or IPv6 /127 (RFC 6164) are both usable, as is a /32 or /128.
        last_usable: The last such address.
        host_count: How many there are; up to 2**128 - 1.
        address_count: Every address of the network.
        is_private: This and the other ``is_`` are of the address, by IANA's registries.
        address_bits: In binary: IPv4 by octet with dots, IPv6 by group of 16 with colons.
        mask_bits: Likewise.
        network_bits: Likewise: ``address_bits & mask_bits``.
    """

    address: str
    version: int
    prefix: int
    mask: str
    wildcard: str
    network: str
    broadcast: str | None
    first_usable: str
    last_usable: str
    host_count: int
    address_count: int
    is_private: bool
    is_global: bool
    is_loopback: bool
    is_link_local: bool
    is_multicast: bool
    is_reserved: bool
    is_unspecified: bool
    address_bits: str
    mask_bits: str
    network_bits: str


def describe(address: str, prefix: int | str) -> Network:
    """Work out the network that ``address`` is in.

    Args:
        address: IPv4 or IPv6, without a zone.
        prefix: How many leading bits are the network's: 24, ``"24"``, or as a mask, ``"255.255.255.0"``.

    Raises:
        InvalidRequestError: ``address`` is none, or has no such prefix or mask.
    """
    host = _parse_address(address)
    length = _parse_prefix(prefix, host)
    make = type(host)
    net = ipaddress.ip_network((host.packed, length), strict=False)
    first, last = _usable(int(net.network_address), int(net.broadcast_address), host)
    has_broadcast = host.version == _IPV4 and length < host.max_prefixlen - 1
    return Network(
        address=str(host),
        version=host.version,
        prefix=length,
        mask=str(net.netmask),
        wildcard=str(net.hostmask),
        network=str(net.network_address),
        broadcast=str(net.broadcast_address) if has_broadcast else None,
        first_usable=str(make(first)),
        last_usable=str(make(last)),
        host_count=last - first + 1,
        address_count=net.num_addresses,
        is_private=host.is_private,
        is_global=host.is_global,
        is_loopback=host.is_loopback,
        is_link_local=host.is_link_local,
        is_multicast=host.is_multicast,
        is_reserved=host.is_reserved,
        is_unspecified=host.is_unspecified,
        address_bits=_bits(host),
        mask_bits=_bits(net.netmask),
        network_bits=_bits(net.network_address),
    )


def _usable(lowest: int, highest: int, host: _Address) -> tuple[int, int]:
    if highest - lowest <= 1:
        return lowest, highest
    return (lowest + 1, highest - 1) if host.version == _IPV4 else (lowest + 1, highest)


def _parse_address(text: str) -> _Address:
    if "%" in text:
        raise InvalidRequestError(
            f"address: {quoted(text)} names a zone",
            member="address",
            hint="leave out the % and what follows: a zone names a link, a network is the same on all",
        )
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise InvalidRequestError(
            f"address: {quoted(text)} is neither an IPv4 nor an IPv6 address",
            member="address",
            hint="four decimal octets without leading zeros (192.0.2.1), or IPv6 text (2001:db8::1)",
        ) from None


def _parse_prefix(prefix: int | str, host: _Address) -> int:
    if isinstance(prefix, str) and not _PREFIX_TEXT.fullmatch(prefix):
        return _parse_mask(prefix, host)
    return whole_number(int(prefix) if isinstance(prefix, str) else prefix, "prefix", most=host.max_prefixlen)


def _parse_mask(text: str, host: _Address) -> int:
    try:
        mask = type(host)(text if "%" not in text else "")
    except ValueError:
        raise InvalidRequestError(
            f"prefix: {quoted(text)} is neither a prefix length nor an IPv{host.version} mask",
            member="prefix",
            hint=f"a number from 0 to {host.max_prefixlen}, or a mask: ones and then zeros, as an address",
        ) from None
    length = f"{int(mask):0{host.max_prefixlen}b}".count("1")
    if int(mask) != (2**length - 1) << (host.max_prefixlen - length):
        raise InvalidRequestError(
            f"prefix: {mask} is no mask, a 1 follows a 0 in it",
            member="prefix",
            hint="the bits of a mask are ones and then zeros; a wildcard mask is the other way round",
        )
    return length


def _bits(address: _Address) -> str:
    width, separator = (8, ".") if address.version == _IPV4 else (16, ":")
    digits = f"{int(address):0{address.max_prefixlen}b}"
    return separator.join(digits[at : at + width] for at in range(0, len(digits), width))
