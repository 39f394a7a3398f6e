"""A rule's addresses as a policy writes them: ``127.0.0.0/8:1024-``, ``unix:/run/x/``, ``netlink:*``."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Final

from socketd.access import networks
from socketd.access.patterns import USER, Everything, Family, Inet, Ports, UnixAbstract, UnixPath, Vsock
from socketd.access.policy_words import shown
from socketd.core import constants
from socketd.errors import InvalidRequestError

if TYPE_CHECKING:
    from socketd.access.networks import IpNetwork
    from socketd.access.patterns import Pattern

_MOST_PORT: Final = 65_535
_MOST_VSOCK: Final = 2**32 - 1
_INET: Final = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<v4>[^:\[\]]*)):(?P<ports>[^:]*)")
_PORTS: Final = re.compile(r"(?P<low>[0-9]{1,10})(?:(?P<dash>-)(?P<high>[0-9]{1,10})?)?")
_FAMILY: Final = re.compile(r"(?P<family>[a-z][a-z0-9_]*):\*")
_BRACES: Final = re.compile(r"[{}]")


def parse(text: str) -> Pattern:
    """Read one pattern.

    Raises:
        ValueError: It is none; the message says what it should be.
    """
    if text == "*":
        return Everything()
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest != "*":
        return _unix(rest)
    if kind == "vsock" and rest != "*":
        return _vsock(rest)
    family = _FAMILY.fullmatch(text)
    return _inet(text) if family is None else _family(family["family"])


def check_template(text: str) -> str:
    """Give back a text whose only braces are those of ``{user}``.

    Raises:
        ValueError: It has others, or what no address has.
    """
    if _BRACES.search(text.replace(USER, "")):
        raise ValueError(f"{shown(text)}: {USER} is all that can stand in braces")
    if not text.isprintable():
        raise ValueError(f"{shown(text)} has signs that cannot be printed")
    return text


def _unix(rest: str) -> Pattern:
    if rest.startswith("@"):
        return UnixAbstract(check_template(rest[1:]))
    if not rest.startswith("/"):
        raise ValueError("after unix: comes a path, which is absolute, or @ and an abstract name")
    names = rest.rstrip("/").split("/")[1:]
    if rest.startswith("//") or rest.endswith("//") or any(name in {"", ".", ".."} for name in names):
        raise ValueError(f"{shown(rest)} is not written the shortest way: without //, /./ and /../")
    return UnixPath(check_template(rest))


def _vsock(rest: str) -> Pattern:
    cid, _, ports = rest.partition(":")
    return Vsock(None if cid == "*" else _number(cid, _MOST_VSOCK), _ports(ports, _MOST_VSOCK))


def _family(name: str) -> Pattern:
    try:
        number = constants.family(name)
    except InvalidRequestError as error:
        raise ValueError(f"{shown(name)} is no address family; {error.hint}") from None
    if number in networks.INET:
        return Inet(networks.EVERY[4 if number == socket.AF_INET else 6], Ports(0, _MOST_PORT))
    return Family(number)


def _inet(text: str) -> Pattern:
    matched = _INET.fullmatch(text)
    if matched is None:
        raise ValueError(
            f"{shown(text)} is no address: write HOST:PORTS, as 127.0.0.0/8:1024-65535, [::1]:*, *:8080, "
            "or unix:/FOLDER/, unix:@NAME, vsock:CID:PORTS, netlink:*"
        )
    ports = _ports(matched["ports"], _MOST_PORT)
    if matched["v4"] == "*":
        return Inet(None, ports)
    if matched["v6"] is None:
        return Inet(_network(matched["v4"], 4), ports)
    network = _network(matched["v6"], 6)
    if isinstance(network.network_address, ipaddress.IPv6Address) and network.network_address.ipv4_mapped:
        raise ValueError(
            f"{shown(text)}: an IPv4-mapped address counts as the IPv4 address it is; write that"
        )
    return Inet(network, ports)


def _network(host: str, version: int) -> IpNetwork:
    if "%" in host:
        raise ValueError(f"{shown(host)} has a scope; an address counts whatever its scope is")
    try:
        found = ipaddress.ip_interface(host)
    except ValueError:
        raise ValueError(f"{shown(host)} is no numeric address or network") from None
    network: IpNetwork = found.network
    if network.version != version:
        raise ValueError(f"{shown(host)}: an IPv6 address stands in brackets, an IPv4 address does not")
    if network.network_address != found.ip:
        raise ValueError(f"{shown(host)} has bits behind its mask; the network is {network}")
    return network


def _ports(text: str, most: int) -> Ports:
    if text == "*":
        return Ports(0, most)
    matched = _PORTS.fullmatch(text)
    if matched is None:
        raise ValueError(f"{shown(text)} is no port: write a number, a range as 1024-65535 or 1024-, or *")
    low = _number(matched["low"], most)
    high = _number(matched["high"], most) if matched["high"] else most if matched["dash"] else low
    if low > high:
        raise ValueError(f"the range {text} ends before it begins")
    return Ports(low, high)


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and int(text) <= most):
        raise ValueError(f"{shown(text)} is no number from 0 to {most}")
    return int(text)
