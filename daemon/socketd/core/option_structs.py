"""C structures that socket options take and give, member by member."""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd.core import option_values as values
from socketd.core.vocabulary import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.core.option_values import Packed, Scalar

_ADDRESS_SIZE: Final = 128


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a structure.

    Attributes:
        name: As the caller writes it.
        code: Its format in the ``struct`` module.
        read: From what ``struct`` unpacked.
        write: To what ``struct`` packs; raises ``InvalidRequestError``.
        default: What stands for a member left out; ``None`` if it must be there.
    """

    name: str
    code: str
    read: Callable[[Packed], Scalar]
    write: Callable[[object], Packed]
    default: Scalar = None


@dataclass(frozen=True, slots=True)
class Struct:
    """A structure in the C compiler's own layout."""

    members: tuple[Member, ...]

    @property
    def layout(self) -> str:
        """The format of the whole for the ``struct`` module, native alignment included."""
        return "@" + "".join(member.code for member in self.members)

    def unpack(self, raw: bytes) -> dict[str, Scalar]:
        """Turn bytes into members; what follows the structure is not looked at.

        Raises:
            struct.error: ``raw`` is too short.
        """
        values = struct.unpack_from(self.layout, raw)
        return {member.name: member.read(value) for member, value in zip(self.members, values, strict=True)}

    def pack(self, value: object) -> bytes:
        """Turn members into bytes.

        Raises:
            InvalidRequestError: a member is missing, unknown, of the wrong type or out of range.
        """
        if not isinstance(value, dict):
            raise values.bad_value(f"{quoted(value)} is no object with {self._names()}")
        unknown = [name for name in value if name not in {member.name for member in self.members}]
        if unknown:
            raise values.bad_value(
                f"has no member {quoted(unknown[0])}", hint=f"its members are {self._names()}"
            )
        return struct.pack(self.layout, *(self._write(member, value) for member in self.members))

    def _write(self, member: Member, value: dict[str, object]) -> Packed:
        given = value.get(member.name, member.default)
        if given is None:
            raise values.bad_value(f"lacks {member.name}", hint=f"its members are {self._names()}")
        return member.write(given)

    def _names(self) -> str:
        return ", ".join(member.name for member in self.members)


def _integer(name: str, code: str, write: Callable[[object], Packed] = values.write_uint) -> Member:
    return Member(name, code, values.read_number, write)


_INTERFACE: Final = Member("interface", "i", values.read_number, values.interface_index, default=0)
_SOCKADDR_CODE: Final = f"0L{_ADDRESS_SIZE}s"  # sockaddr_storage is aligned as a long
_PORTS: Final = (_integer("low", "H", values.write_port), _integer("high", "H", values.write_port))

LINGER: Final = Struct(
    (
        Member("enabled", "i", values.read_flag, values.write_flag),
        _integer("seconds", "i", values.write_natural),
    ),
)
UCRED: Final = Struct(
    (
        _integer("pid", "i", values.write_int),
        Member("uid", "I", values.read_id, values.write_uint),
        Member("gid", "I", values.read_id, values.write_uint),
    ),
)
MEMINFO: Final = Struct(
    tuple(
        _integer(name, "I")
        for name in (
            "rmem_alloc_bytes",
            "rcvbuf_bytes",
            "wmem_alloc_bytes",
            "sndbuf_bytes",
            "fwd_alloc_bytes",
            "wmem_queued_bytes",
            "optmem_bytes",
            "backlog_bytes",
            "drops",
        )
    ),
)
TXTIME: Final = Struct((_integer("clockid", "i", values.write_int), _integer("flags", "I")))
# The kernel reads one 32-bit number: the low port in its lower half.
PORT_RANGE: Final = Struct(_PORTS if sys.byteorder == "little" else _PORTS[::-1])
MREQN: Final = Struct(
    (
        Member("group", "4s", values.read_address, values.ipv4),
        Member("address", "4s", values.read_address, values.ipv4, default="0.0.0.0"),  # noqa: S104 (the kernel's choice)
        _INTERFACE,
    ),
)
MREQ_SOURCE: Final = Struct(
    (
        Member("group", "4s", values.read_address, values.ipv4),
        Member("address", "4s", values.read_address, values.ipv4, default="0.0.0.0"),  # noqa: S104 (the kernel's choice)
        Member("source", "4s", values.read_address, values.ipv4),
    ),
)
IPV6_MREQ: Final = Struct((Member("group", "16s", values.read_address, values.ipv6), _INTERFACE))
IN6_PKTINFO: Final = Struct((Member("address", "16s", values.read_address, values.ipv6), _INTERFACE))
GROUP_REQ: Final = Struct(
    (_INTERFACE, Member("group", _SOCKADDR_CODE, values.read_sockaddr, values.write_sockaddr))
)
GROUP_SOURCE_REQ: Final = Struct(
    (*GROUP_REQ.members, Member("source", _SOCKADDR_CODE, values.read_sockaddr, values.write_sockaddr)),
)
PACKET_MREQ: Final = Struct(
    (
        _INTERFACE,
        Member("type", "H", values.read_membership, values.write_membership),
        Member("address", "10s", values.read_hardware_address, values.write_hardware_address, default=""),
    ),
)
PACKET_STATS: Final = Struct((_integer("packets", "I"), _integer("drops", "I")))
