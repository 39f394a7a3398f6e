"""Socket addresses as the daemon writes them, and as the tuples of the ``socket`` module."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

# What socket.getsockname() gives: a tuple, a path, or the bytes of an abstract name.
SocketAddress: TypeAlias = "tuple[Any, ...] | str | bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address; the base of the families' classes, and used itself where this version has none.

    ``text`` is the whole of it in one line (``127.0.0.1:80``, ``[::1]:80``, ``/run/x.sock``, ``@abstract``).
    """

    family: str = ""
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        """Return the text."""
        return self.text

    def as_tuple(self) -> SocketAddress:
        """Return what the ``socket`` module would: here, for want of anything better, the text."""
        return self.text

    def to_json(self) -> dict[str, Any] | str:
        """Return what a request names the address with."""
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class InetAddress(Address):
    """IPv4: ``(host, port)``."""

    family: str = "inet"
    host: str
    port: int

    def as_tuple(self) -> SocketAddress:
        """Return ``(host, port)``."""
        return self.host, self.port

    def to_json(self) -> dict[str, Any]:
        """Return host and port."""
        return {"family": "inet", "host": self.host, "port": self.port}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inet6Address(Address):
    """IPv6: ``(host, port, flowinfo, scope_id)``."""

    family: str = "inet6"
    host: str
    port: int
    flowinfo: int = 0
    scope_id: int = 0

    def as_tuple(self) -> SocketAddress:
        """Return the four members."""
        return self.host, self.port, self.flowinfo, self.scope_id

    def to_json(self) -> dict[str, Any]:
        """Return the four members by name."""
        members = {"flowinfo": self.flowinfo, "scope_id": self.scope_id}
        return {"family": "inet6", "host": self.host, "port": self.port, **members}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixAddress(Address):
    """A Unix socket's path, or its name in the abstract namespace; neither for an unnamed one.

    ``path`` has bytes that are not UTF-8 as ``os.fsdecode`` does; ``abstract`` is without the leading NUL.
    """

    family: str = "unix"
    path: str | None = None
    abstract: bytes | None = None

    @classmethod
    def from_name(cls, name: str | bytes) -> UnixAddress:
        """Take a name as ``socket.bind`` takes it; a relative path means this process's directory."""
        raw = os.fsencode(name)
        if not raw:
            return cls()
        if raw.startswith(b"\0"):
            return cls(abstract=raw[1:])
        return cls(path=str(Path(os.fsdecode(raw)).absolute()))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> UnixAddress:
        """Read the member that is there."""
        path, abstract = data.get("path"), data.get("abstract")
        if "path_base64" in data:
            path = os.fsdecode(base64.b64decode(data["path_base64"]))
        if "abstract_base64" in data:
            return cls(abstract=base64.b64decode(data["abstract_base64"]), text=data.get("text", ""))
        name = None if abstract is None else str(abstract).encode()
        return cls(path=path, abstract=name, text=data.get("text", ""))

    def as_tuple(self) -> SocketAddress:
        """Return the path, the abstract name's bytes with their NUL, or ``""`` if unnamed."""
        if self.abstract is not None:
            return b"\0" + self.abstract
        return self.path or ""

    def to_json(self) -> dict[str, Any]:
        """Return the name; in base64 where it is not UTF-8."""
        if self.abstract is not None:
            return {"family": "unix", **_member("abstract", self.abstract)}
        if self.path is not None:
            return {"family": "unix", **_member("path", os.fsencode(self.path))}
        return {"family": "unix", "unnamed": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class VsockAddress(Address):
    """Between a host and its virtual machines: ``(cid, port)``."""

    family: str = "vsock"
    cid: int
    port: int

    def as_tuple(self) -> SocketAddress:
        """Return ``(cid, port)``."""
        return self.cid, self.port

    def to_json(self) -> dict[str, Any]:
        """Return cid and port."""
        return {"family": "vsock", "cid": self.cid, "port": self.port}


@dataclass(frozen=True, slots=True, kw_only=True)
class NetlinkAddress(Address):
    """A netlink port: ``(pid, groups)``."""

    family: str = "netlink"
    pid: int
    groups: int = 0

    def as_tuple(self) -> SocketAddress:
        """Return ``(pid, groups)``."""
        return self.pid, self.groups

    def to_json(self) -> dict[str, Any]:
        """Return pid and groups."""
        return {"family": "netlink", "pid": self.pid, "groups": self.groups}


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketAddress(Address):
    """A link layer address: ``(interface, protocol, packet type, hardware type, hardware address)``."""

    family: str = "packet"
    interface: str
    protocol: int = 0
    packet_type: int = 0
    hardware_type: int = 0
    hardware_address: str = ""

    def as_tuple(self) -> SocketAddress:
        """Return the five members, the hardware address as bytes."""
        hardware = bytes.fromhex(self.hardware_address.replace(":", ""))
        return self.interface, self.protocol, self.packet_type, self.hardware_type, hardware

    def to_json(self) -> dict[str, Any]:
        """Return what is set."""
        data = {"family": "packet", "interface": self.interface, "protocol": self.protocol}
        for member in ("packet_type", "hardware_type", "hardware_address"):
            if getattr(self, member):
                data[member] = getattr(self, member)
        return data


# Which members make the address of a family.
_MEMBERS: Final[dict[str, tuple[type[Address], tuple[str, ...]]]] = {
    "inet": (InetAddress, ("host", "port")),
    "inet6": (Inet6Address, ("host", "port", "flowinfo", "scope_id")),
    "vsock": (VsockAddress, ("cid", "port")),
    "netlink": (NetlinkAddress, ("pid", "groups")),
    "packet": (PacketAddress, ("interface", "protocol", "packet_type", "hardware_type", "hardware_address")),
}


def address_from_json(data: Mapping[str, Any] | None) -> Address | None:
    """Read an address of the wire; unknown members are ignored, an unknown family keeps its text."""
    if data is None:
        return None
    family = data["family"]
    if family == "unix":
        return UnixAddress.from_json(data)
    kind, members = _MEMBERS.get(family, (Address, ("family",)))
    found = {member: data[member] for member in members if member in data}
    return kind(text=data.get("text", ""), **found)


def _member(name: str, raw: bytes) -> dict[str, str]:
    try:
        return {name: raw.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(raw).decode()}
