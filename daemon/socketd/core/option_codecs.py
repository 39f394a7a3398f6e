"""The kinds of value a socket option can have, between JSON-like values and the kernel's bytes."""

from __future__ import annotations

import enum
import ipaddress
import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd.core import option_structs as structs
from socketd.core.option_values import bad_value, check_integer, interface_index, ipv4
from socketd.core.vocabulary import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.core.option_values import OptionValue

# CPython refuses a larger buffer (Modules/socketmodule.c, sock_getsockopt), and with an OSError sans errno.
BUFFER_MAX: Final = 1024
# IFNAMSIZ and TCP_CA_NAME_MAX are both 16 with the NUL; the kernel cuts what is longer without a word.
_STRING_MAX: Final = 15
_MICROSECONDS: Final = 1_000_000
_SECONDS_MAX: Final = 2**31 - 1
_UINT_MAX: Final = 2**32 - 1


class Kind(enum.StrEnum):
    """How the value of an option is read and written."""

    INT = "int"
    UINT = "uint"
    U64 = "u64"
    BOOL = "bool"
    TIMEVAL = "timeval"
    LINGER = "linger"
    STRING = "string"
    BYTES = "bytes"
    U32_LIST = "u32_list"
    UCRED = "ucred"
    MEMINFO = "meminfo"
    TXTIME = "txtime"
    IFINDEX = "ifindex"
    IFINDEX_BE = "ifindex_be"
    PORT_RANGE = "port_range"
    IN_ADDR = "in_addr"
    MREQN = "mreqn"
    MREQ_SOURCE = "mreq_source"
    IPV6_MREQ = "ipv6_mreq"
    IN6_PKTINFO = "in6_pktinfo"
    GROUP_REQ = "group_req"
    GROUP_SOURCE_REQ = "group_source_req"
    PACKET_MREQ = "packet_mreq"
    PACKET_STATS = "packet_stats"


@dataclass(frozen=True, slots=True)
class Codec:
    """How to read and write one kind.

    Attributes:
        size: How many bytes to ask ``getsockopt(2)`` for.
        decode: Bytes to value; raises ``struct.error`` on too few bytes.
        encode: Value to bytes; raises ``InvalidRequestError`` for a wrong type, member or range.
    """

    size: int
    decode: Callable[[bytes], OptionValue]
    encode: Callable[[object], bytes]


def decode(kind: Kind, raw: bytes) -> OptionValue:
    """Turn what ``getsockopt(2)`` copied out into a value.

    Raises:
        ValueError: ``raw`` is too short for the kind.
    """
    try:
        return _CODECS[kind].decode(raw)
    except struct.error as error:
        raise ValueError(f"{len(raw)} bytes are too few for a {kind}: {error}") from None


def encode(kind: Kind, value: object) -> bytes:
    """Turn a value into what ``setsockopt(2)`` reads.

    Raises:
        InvalidRequestError: the value is of another type than the kind's, or out of its range.
    """
    return _CODECS[kind].encode(value)


def buffer_size(kind: Kind) -> int:
    """Tell how many bytes to ask ``getsockopt(2)`` for."""
    return _CODECS[kind].size


def _decode_int(raw: bytes) -> int:
    # A few options of ip(7) answer with a single byte when the value fits one.
    if not raw:
        raise struct.error("nothing there")
    return int.from_bytes(raw[:4], sys.byteorder, signed=len(raw) >= struct.calcsize("=i"))


def _decode_uint(raw: bytes) -> int:
    return _decode_int(raw) & _UINT_MAX


def _encode_int(value: object) -> bytes:
    return struct.pack("=i", check_integer(value, -(2**31), 2**31 - 1))


def _encode_uint(value: object) -> bytes:
    return struct.pack("=I", check_integer(value, 0, _UINT_MAX))


def _decode_u64(raw: bytes) -> int:
    return int(struct.unpack_from("=Q", raw)[0])


def _encode_u64(value: object) -> bytes:
    return struct.pack("=Q", check_integer(value, 0, 2**64 - 1))


def _decode_bool(raw: bytes) -> bool:
    return _decode_int(raw) != 0


def _encode_bool(value: object) -> bytes:
    if not isinstance(value, bool) and not (isinstance(value, int) and value in {0, 1}):
        raise bad_value(f"{quoted(value)} is neither true nor false")
    return struct.pack("=i", value)


def _decode_timeval(raw: bytes) -> float:
    seconds, microseconds = struct.unpack_from("@ll", raw)
    return float(seconds + microseconds / _MICROSECONDS)


def _encode_timeval(value: object) -> bytes:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise bad_value(f"{quoted(value)} is no number of seconds")
    if not 0 <= value <= _SECONDS_MAX:
        raise bad_value(
            f"{quoted(value)} is outside 0..{_SECONDS_MAX} seconds", hint="0 means to wait for ever"
        )
    # 0.1 µs must not become 0, which means to wait for ever.
    return struct.pack("@ll", *divmod(max(round(value * _MICROSECONDS), value > 0), _MICROSECONDS))


def _decode_string(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _encode_string(value: object) -> bytes:
    if not isinstance(value, str):
        raise bad_value(f"{quoted(value)} is no text")
    try:
        raw = value.encode()
    except UnicodeEncodeError:
        raise bad_value(f"{quoted(value)} is no text that can be sent") from None
    if b"\0" in raw or len(raw) > _STRING_MAX:
        raise bad_value(f"{quoted(value)} has a NUL in it or more than {_STRING_MAX} bytes")
    return raw + b"\0"


def _decode_list(raw: bytes) -> list[int]:
    return list(memoryview(raw[: len(raw) // 4 * 4]).cast("I"))


def _decode_bytes(raw: bytes) -> bytes:
    return raw


def _encode_bytes(value: object) -> bytes:
    raise bad_value(f"{quoted(value)} is not bytes", hint="this option is a structure: give its bytes")


def _read_only(value: object) -> bytes:
    raise bad_value(f"{quoted(value)} cannot be set", hint="this option can only be read")


def _encode_interface(value: object) -> bytes:
    return struct.pack("=i", interface_index(value))


def _decode_interface_be(raw: bytes) -> int:
    return int(struct.unpack_from("!I", raw)[0])


def _encode_interface_be(value: object) -> bytes:
    return struct.pack("!I", interface_index(value))


def _decode_in_addr(raw: bytes) -> str:
    return str(ipaddress.IPv4Address(struct.unpack_from("!I", raw)[0]))


def _encode_in_addr(value: object) -> bytes:
    """Take the address, or the interface by name or number (``struct ip_mreqn``), of IP_MULTICAST_IF."""
    if isinstance(value, dict):
        return structs.MREQN.pack({"group": "0.0.0.0", **value})  # noqa: S104 (not looked at)
    return ipv4(value)


def _struct(of: structs.Struct) -> Codec:
    return Codec(struct.calcsize(of.layout), of.unpack, of.pack)


def _read_only_struct(of: structs.Struct) -> Codec:
    return Codec(struct.calcsize(of.layout), of.unpack, _read_only)


_CODECS: Final = {
    Kind.INT: Codec(4, _decode_int, _encode_int),
    Kind.UINT: Codec(4, _decode_uint, _encode_uint),
    Kind.U64: Codec(8, _decode_u64, _encode_u64),
    Kind.BOOL: Codec(4, _decode_bool, _encode_bool),
    Kind.TIMEVAL: Codec(struct.calcsize("@ll"), _decode_timeval, _encode_timeval),
    Kind.LINGER: _struct(structs.LINGER),
    Kind.STRING: Codec(256, _decode_string, _encode_string),
    Kind.BYTES: Codec(BUFFER_MAX, _decode_bytes, _encode_bytes),
    Kind.U32_LIST: Codec(BUFFER_MAX, _decode_list, _read_only),
    Kind.UCRED: _read_only_struct(structs.UCRED),
    Kind.MEMINFO: _read_only_struct(structs.MEMINFO),
    Kind.TXTIME: _struct(structs.TXTIME),
    Kind.IFINDEX: Codec(4, _decode_int, _encode_interface),
    Kind.IFINDEX_BE: Codec(4, _decode_interface_be, _encode_interface_be),
    Kind.PORT_RANGE: _struct(structs.PORT_RANGE),
    Kind.IN_ADDR: Codec(4, _decode_in_addr, _encode_in_addr),
    Kind.MREQN: _struct(structs.MREQN),
    Kind.MREQ_SOURCE: _struct(structs.MREQ_SOURCE),
    Kind.IPV6_MREQ: _struct(structs.IPV6_MREQ),
    Kind.IN6_PKTINFO: _struct(structs.IN6_PKTINFO),
    Kind.GROUP_REQ: _struct(structs.GROUP_REQ),
    Kind.GROUP_SOURCE_REQ: _struct(structs.GROUP_SOURCE_REQ),
    Kind.PACKET_MREQ: _struct(structs.PACKET_MREQ),
    Kind.PACKET_STATS: _read_only_struct(structs.PACKET_STATS),
}
