"""Socket families, types and protocols, by name and by number."""

from __future__ import annotations

import socket
import sys
from typing import Final

from socketd.core import protocols
from socketd.core.vocabulary import Vocabulary, whole_number
from socketd.errors import InvalidRequestError

# Each number that include/linux/socket.h gives out, whether or not this kernel was built with it: it is
# the kernel that answers EAFNOSUPPORT, and that answer is the one a caller should see.
_FAMILIES: Final = Vocabulary(
    member="family",
    prefixes=("af_", "pf_"),
    numbers={
        "unspec": 0,
        "unix": 1,
        "local": 1,
        "file": 1,
        "inet": 2,
        "ax25": 3,
        "ipx": 4,
        "appletalk": 5,
        "netrom": 6,
        "bridge": 7,
        "atmpvc": 8,
        "x25": 9,
        "inet6": 10,
        "rose": 11,
        "decnet": 12,
        "netbeui": 13,
        "security": 14,
        "key": 15,
        "netlink": 16,
        "route": 16,
        "packet": 17,
        "ash": 18,
        "econet": 19,
        "atmsvc": 20,
        "rds": 21,
        "sna": 22,
        "irda": 23,
        "pppox": 24,
        "wanpipe": 25,
        "llc": 26,
        "ib": 27,
        "mpls": 28,
        "can": 29,
        "tipc": 30,
        "bluetooth": 31,
        "iucv": 32,
        "rxrpc": 33,
        "isdn": 34,
        "phonet": 35,
        "ieee802154": 36,
        "caif": 37,
        "alg": 38,
        "nfc": 39,
        "vsock": 40,
        "kcm": 41,
        "qipcrtr": 42,
        "smc": 43,
        "xdp": 44,
        "mctp": 45,
    },
)
_TYPES: Final = Vocabulary(
    member="type",
    prefixes=("sock_",),
    numbers={"stream": 1, "dgram": 2, "raw": 3, "rdm": 4, "seqpacket": 5, "dccp": 6, "packet": 10},
)
_AF_INET: Final = 2
_AF_PACKET: Final = 17
_SOCK_PACKET: Final = 10
_CREATION_FLAGS: Final = int(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


def family(value: str | int) -> int:
    """Turn ``"inet"``, ``"AF_INET"`` or 2 into the number of the address family.

    Raises:
        InvalidRequestError: no family has this name, or the number is no C ``int``.
    """
    return _FAMILIES.number(value)


def family_name(number: int) -> str:
    """Name an address family (``"inet"``); the number as text if Linux has no such family."""
    return _FAMILIES.name(number)


def socket_type(value: str | int) -> int:
    """Turn ``"stream"``, ``"SOCK_STREAM"`` or 1 into the number of the socket type.

    Raises:
        InvalidRequestError: no type has this name, the number is no C ``int``, or it carries the
            ``SOCK_NONBLOCK`` or ``SOCK_CLOEXEC`` bit of ``socket(2)``.
    """
    number = _TYPES.number(value)
    if number & _CREATION_FLAGS:
        raise InvalidRequestError(
            f"type: {value} carries SOCK_NONBLOCK or SOCK_CLOEXEC",
            member="type",
            hint=f"leave them out, {number & ~_CREATION_FLAGS} remains: the daemon sets both on every socket",
        )
    return number


def type_name(number: int) -> str:
    """Name a socket type (``"stream"``); the number as text if Linux has no such type."""
    return _TYPES.name(number)


def protocol(value: str | int, family: int, type: int = 0) -> int:  # noqa: A002 (socket(2)'s own names)
    """Turn ``"tcp"``, ``"IPPROTO_TCP"`` or 6 into the number that ``socket(2)`` takes for this family.

    Names are those of the family: ``"route"`` of netlink, ``"arp"`` of packet. ``"default"`` is 0 in
    every one. A packet protocol goes in as ``ETH_P_*`` in host order and comes out as packet(7) wants
    it, in network byte order.

    Raises:
        InvalidRequestError: the family has no protocol of this name, or the number does not fit.
    """
    names = _protocols(family, type)
    number = names.number(value)
    if names is protocols.ETHERTYPES:
        return _swap_ethertype(whole_number(number, "protocol", most=0xFFFF))
    return number


def protocol_name(number: int, family: int, type: int = 0) -> str:  # noqa: A002 (socket(2)'s own names)
    """Name what ``socket(2)`` was given as protocol; the exact inverse of ``protocol``.

    Never empty: a number without a name is given as text. 0 is ``"default"``, which is what it means to
    ``socket(2)``, but where it names a protocol of its own: netlink's ``"route"``, bluetooth's ``"l2cap"``.
    """
    names = _protocols(family, type)
    return names.name(_swap_ethertype(number) if names is protocols.ETHERTYPES else number)


def _protocols(family: int, type_: int) -> Vocabulary:
    # net/socket.c, __sock_create: PF_INET with the obsolete SOCK_PACKET is made a packet socket.
    obsolete = family == _AF_INET and type_ == _SOCK_PACKET
    return protocols.BY_FAMILY.get(_AF_PACKET if obsolete else family, protocols.NONE)


def _swap_ethertype(number: int) -> int:
    """Take an ``ETH_P_*`` from host to network byte order or back: the one place that does."""
    return int.from_bytes((number & 0xFFFF).to_bytes(2, "big"), sys.byteorder)
