"""IP addresses as a policy looks at them: what they mean, and which an ordinary grant does not reach."""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from socketd.core.address import Address

IpAddress = IPv4Address | IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

EVERY: Final[dict[int, IpNetwork]] = {4: ipaddress.ip_network("0.0.0.0/0"), 6: ipaddress.ip_network("::/0")}
INET: Final = frozenset({int(socket.AF_INET), int(socket.AF_INET6)})

SPECIAL: Final[tuple[IpNetwork, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # "this host on this network", RFC 1122; Linux connects 0.0.0.0 to itself
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, RFC 3927; 169.254.169.254 tells cloud machines their secrets
        "100.100.100.200/32",  # the same of other clouds
        "168.63.129.16/32",
        "192.0.0.192/32",
        "224.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "::1/128",
        "fe80::/10",
        "fd00:ec2::/32",  # instance metadata over IPv6
        "fd20:ce::254/128",
        "64:ff9b:1::/48",  # NAT64 of the site's own, RFC 8215: where in it the IPv4 address stands is unknown
        "ff00::/8",
    )
)
"""Where a connection reaches this host, its link or its hypervisor: it takes a grant for the range itself."""

_IN_LOW_BITS: Final = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "64:ff9b::/96",  # NAT64, RFC 6052
        "::ffff:0:0:0/96",  # stateless translation, RFC 2765
        "::/96",  # IPv4-compatible, RFC 4291 2.5.5.1
    )
)
_HOST_ITSELF: Final = frozenset({IPv6Address("::"), IPv6Address("::1")})
_REMEMBERED: Final = 1024  # to take an address apart costs 10 us, and a sendto asks each time
_LOW_32: Final = 0xFFFF_FFFF
_ISATAP: Final = 0x0000_5EFE  # RFC 5214 6.1: the interface identifier is 0[02]00:5efe and the IPv4 address
_ANY_SCOPE: Final = 0xFDFF_FFFF


@lru_cache(_REMEMBERED)
def plain(host: str) -> IpAddress:
    """Read a numeric address; a scope is left out, and an IPv4-mapped one becomes the IPv4 address it is.

    Raises:
        ValueError: It is no numeric address.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def host_of(address: Address) -> tuple[IpAddress, int]:
    """Read host and port of an inet or inet6 address."""
    host, port = address.sockaddr[:2]
    return plain(host), int(port)


@lru_cache(_REMEMBERED)
def embedded(address: IpAddress) -> IPv4Address | None:
    """Return the IPv4 address that a translator or tunnel makes of an IPv6 one; ``None`` if none does.

    Source: RFC 3056 (6to4), RFC 4380 (Teredo), RFC 5214 (ISATAP), RFC 6052 (NAT64), RFC 2765.
    """
    if not isinstance(address, IPv6Address) or address in _HOST_ITSELF:
        return None
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    number = int(address)
    is_isatap = (number >> 32) & _ANY_SCOPE == _ISATAP
    if is_isatap or any(address in network for network in _IN_LOW_BITS):
        return IPv4Address(number & _LOW_32)
    return None


def connected(address: IpAddress) -> IpAddress:
    """Return where a connection to ``address`` goes: the unspecified one is this host (``ip(7)``)."""
    if not address.is_unspecified:
        return address
    return IPv4Address("127.0.0.1") if isinstance(address, IPv4Address) else IPv6Address("::1")


@lru_cache(_REMEMBERED)
def special(address: IpAddress) -> IpNetwork | None:
    """Return the special range that ``address`` is in."""
    return next((network for network in SPECIAL if address in network), None)


def lies_within(inner: IpNetwork, outer: IpNetwork) -> bool:
    """Whether every address of ``inner`` is one of ``outer``."""
    return (
        inner.version == outer.version and inner.network_address in outer and inner.broadcast_address in outer
    )
