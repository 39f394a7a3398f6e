"""Addresses as text, both ways, in the syntax that systemd.socket(5) made familiar."""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING, Final

from socketd.core import address, constants, protocols
from socketd.errors import InvalidRequestError

if TYPE_CHECKING:
    from socketd.core.address import Address, Endpoint

_PREFIXED: Final = re.compile(r"(vsock|netlink|packet):([^:]*):([^:]*)")
# A bare IPv6 literal cannot be told from its port, so it must stand in brackets (RFC 3986, 3.2.2).
_HOST_AND_SERVICE: Final = re.compile(r"(?:\[([^\[\]\0]+)\]|([^:\[\]\0]*)):([^:\[\]\0]+)")
_HINT: Final = (
    "write 127.0.0.1:80, [::1]:80, name:service, :80 (every address), /path, @abstract, "
    "vsock:CID:PORT, netlink:PID:GROUPS or packet:INTERFACE:PROTOCOL"
)
_VSOCK_NAMES: Final = {"any": address.UINT32_MAX, "hypervisor": 0, "local": 1, "host": 2}


def parse(text: str) -> Endpoint:
    """Read an address as a person types it.

    Raises:
        InvalidRequestError: It is in no known syntax, or a part of it is out of range.
    """
    if text.startswith("/"):
        return address.unix_path(text)
    if text.startswith("@"):
        return address.unix_abstract(text[1:])
    prefixed = _PREFIXED.fullmatch(text)
    if prefixed:
        return _prefixed(*prefixed.groups())
    if text.isascii() and text.isdecimal():
        return address.host_and_port(None, text)
    found = _HOST_AND_SERVICE.fullmatch(text)
    if found is None:
        raise InvalidRequestError(f"{text[:120]!r} is not an address", member="address", hint=_HINT)
    bracketed, plain, service = found.groups()
    return address.host_and_port(plain if bracketed is None else bracketed, service)


def text(of: Address) -> str:
    """Write an address; what ``parse`` reads back, as far as its bytes can be text."""
    match of.family, of.sockaddr:
        case socket.AF_INET, (host, port):
            written = f"{host}:{port}"
        case socket.AF_INET6, (host, port, _, scope):
            written = f"[{host.partition('%')[0]}%{scope}]:{port}" if scope else f"[{host}]:{port}"
        case socket.AF_UNIX, bytes(name):
            written = "@" + os.fsdecode(name[1:])
        case socket.AF_UNIX, str(path):
            written = path
        case ((socket.AF_VSOCK | socket.AF_NETLINK), (first, second)):
            written = f"{constants.family_name(of.family)}:{first}:{second}"
        case socket.AF_PACKET, (interface, protocol, *_):
            written = f"packet:{interface}:{protocol}"
        case _:
            written = f"{constants.family_name(of.family)}:{of.sockaddr!r}"
    return written.encode("utf-8", "replace").decode()


def _prefixed(kind: str, first: str, second: str) -> Address:
    if kind == "packet":
        number = protocols.ETHERTYPES.number(second)
        return address.packet(first, number)
    if kind == "netlink":
        return address.netlink(_number(first, "pid"), _number(second, "groups"))
    cid = _VSOCK_NAMES.get(first.lower())
    port = address.UINT32_MAX if second == "any" else _number(second, "port")
    return address.vsock(_number(first, "cid") if cid is None else cid, port)


def _number(digits: str, member: str) -> int:
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= address.UINT32_DIGITS):
        raise InvalidRequestError(f"{digits[:40]!r} is not a number", member=member, hint=_HINT)
    return int(digits)
