"""Socket options by name: which there are, and reading and setting them."""

from __future__ import annotations

import _socket
import errno
import re
import socket
import struct
from typing import TYPE_CHECKING, Final, TypeVar

from socketd.core import option_codecs, option_table_inet, option_table_socket
from socketd.core.option_codecs import BUFFER_MAX, Kind
from socketd.core.option_refusals import REFUSED_NAMES, check_allowed, hint
from socketd.core.option_rows import Option
from socketd.core.option_values import OptionValue
from socketd.core.vocabulary import close_matches, quoted, whole_number
from socketd.errors import InvalidRequestError, KernelRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "OPTIONS",
    "Kind",
    "Option",
    "OptionValue",
    "applicable",
    "get_number",
    "get_option",
    "lookup",
    "set_option",
]

_T = TypeVar("_T")

_SOCKET: Final = option_table_socket.SOCKET
_INET: Final = option_table_inet
OPTIONS: Final = (
    *_SOCKET,
    *(
        *_INET.IP,
        *_INET.IPV6,
        *_INET.TCP,
        *_INET.UDP,
        *_INET.UDPLITE,
        *_INET.RAW,
        *_INET.ICMPV6,
        *_INET.MPTCP,
    ),
    *(*option_table_socket.PACKET, *option_table_socket.NETLINK, *option_table_socket.VSOCK),
)
_ALIASES: Final = {
    "so_detach_bpf": "so_detach_filter",
    "ip_origdstaddr": "ip_recvorigdstaddr",
    "ip_recvretopts": "ip_retopts",
    "ipv6_origdstaddr": "ipv6_recvorigdstaddr",
    "ipv6_add_membership": "ipv6_join_group",
    "ipv6_drop_membership": "ipv6_leave_group",
}
_BY_NAME: Final = {option.name.lower(): option for option in OPTIONS}
_NAMES: Final = [option.name for option in OPTIONS]
_BY_NUMBER: Final = {(option.level, option.number): option for option in OPTIONS}
_INT: Final = struct.Struct("=i")
_NUMBERS: Final = re.compile(r"([0-9]{1,10}):([0-9]{1,10})")

_AF_VSOCK: Final = int(socket.AF_VSOCK)
_IPPROTO_MPTCP: Final = 262
_IPPROTO_UDPLITE: Final = 136
_UNIX_ONLY: Final = frozenset(
    {
        "SO_PASSCRED",
        "SO_PEERCRED",
        "SO_PASSSEC",
        "SO_PEERSEC",
        "SO_PEERGROUPS",
        "SO_PASSPIDFD",
        "SO_PASSRIGHTS",
    }
)
# A listing must not change anything: reading the first three uses them up. The last is the key of the whole
# network namespace, and a secret.
_NOT_LISTED: Final = frozenset({"SO_ERROR", "PACKET_STATISTICS", "TCP_SAVED_SYN", "TCP_FASTOPEN_KEY"})


def lookup(name: str) -> Option:
    """Find an option by name (any case, with or without prefix) or as ``LEVEL:NUMBER``.

    A pair of numbers the registry does not have is an option of kind int, for the kernel to judge.

    Raises:
        InvalidRequestError: no option has this name, several have it without prefix, or the option makes
            sense within the caller's own process only.
    """
    numbers = _NUMBERS.fullmatch(name)
    if numbers:
        level, number = (whole_number(int(text), "option") for text in numbers.groups())
        check_allowed(level, number)
        return _BY_NUMBER.get((level, number)) or Option(
            f"{level}:{number}", level, number, Kind.INT, readable=True, writable=True, description=""
        )
    lowered = name.lower()
    return _BY_NAME.get(_ALIASES.get(lowered, lowered)) or _without_prefix(lowered)


def get_option(sock: _socket.socket, option: Option, length: int | None = None) -> OptionValue:
    """Read an option with ``getsockopt(2)``.

    Args:
        sock: The socket.
        option: From ``lookup``.
        length: Read that many bytes, at most 1024, and return them as they are; ``None`` for a value.

    Returns:
        The value; bytes if the kernel gave fewer than the kind has.

    Raises:
        InvalidRequestError: ``length`` is out of range, or the option cannot be read.
        KernelRefusedError: the kernel said no.
    """
    if length is not None and whole_number(length, "length", most=BUFFER_MAX) == 0:
        raise InvalidRequestError(f"length: 0 is outside 1..{BUFFER_MAX}", member="length")
    if not option.readable:
        raise _one_way(option, "can only be set")
    size = length or option_codecs.buffer_size(option.kind)
    raw = _call(sock, option, "getsockopt", lambda plain: plain.getsockopt(option.level, option.number, size))
    if length is not None:
        return raw
    try:
        return option_codecs.decode(option.kind, raw)
    except ValueError:
        return raw


def get_number(sock: _socket.socket, name: str) -> int:
    """Read an option that is an ``int`` of C, by its full name.

    Raises:
        KernelRefusedError: the kernel said no.
    """
    option = _BY_NAME[name.lower()]
    raw = _call(
        sock, option, "getsockopt", lambda plain: plain.getsockopt(option.level, option.number, _INT.size)
    )
    return int(_INT.unpack(raw)[0])


def set_option(sock: _socket.socket, option: Option, value: object) -> None:
    """Set an option with ``setsockopt(2)``.

    Args:
        sock: The socket.
        option: From ``lookup``.
        value: Of the option's kind; or bytes, which go to the kernel as they are.

    Raises:
        InvalidRequestError: the value is of another type or out of range, or the option cannot be set.
        KernelRefusedError: the kernel said no.
    """
    if not option.writable:
        raise _one_way(option, "can only be read")
    raw = value if isinstance(value, bytes) else option_codecs.encode(option.kind, value)
    _call(sock, option, "setsockopt", lambda plain: plain.setsockopt(option.level, option.number, raw))


def applicable(family: int, type: int, protocol: int) -> tuple[Option, ...]:  # noqa: A002 (socket(2)'s name)
    """Give the options worth reading off a socket of this kind, so far as reading them changes nothing.

    The kernel may still refuse some: an older one, or one that wants the socket connected first.
    """
    levels = (_SOCKET, *_family_tables(family, protocol), *_type_tables(family, type, protocol))
    return tuple(
        option
        for table in levels
        for option in table
        if option.readable
        and option.name not in _NOT_LISTED
        and (family == socket.AF_UNIX or option.name not in _UNIX_ONLY)
    )


def _family_tables(family: int, protocol: int) -> tuple[tuple[Option, ...], ...]:
    if family == socket.AF_INET6:
        return (_INET.IPV6, _INET.ICMPV6) if protocol == socket.IPPROTO_ICMPV6 else (_INET.IPV6,)
    tables = {
        int(socket.AF_INET): _INET.IP,
        int(socket.AF_PACKET): option_table_socket.PACKET,
        int(socket.AF_NETLINK): option_table_socket.NETLINK,
        int(socket.AF_VSOCK): option_table_socket.VSOCK,
    }
    return (tables[family],) if family in tables else ()


def _type_tables(family: int, type_: int, protocol: int) -> tuple[tuple[Option, ...], ...]:
    if family not in {socket.AF_INET, socket.AF_INET6}:
        return ()
    if type_ == socket.SOCK_RAW:
        return (_INET.RAW,) if family == socket.AF_INET and protocol == socket.IPPROTO_ICMP else ()
    by_protocol = {
        int(socket.IPPROTO_TCP): (_INET.TCP,),
        int(socket.IPPROTO_UDP): (_INET.UDP,),
        _IPPROTO_UDPLITE: (_INET.UDPLITE,),
        _IPPROTO_MPTCP: (_INET.TCP, _INET.MPTCP),
    }
    defaults = {int(socket.SOCK_STREAM): socket.IPPROTO_TCP, int(socket.SOCK_DGRAM): socket.IPPROTO_UDP}
    return by_protocol.get(protocol or defaults.get(type_, 0), ())


def _without_prefix(lowered: str) -> Option:
    if lowered in REFUSED_NAMES:
        check_allowed(*REFUSED_NAMES[lowered])
    found = [option for name, option in _BY_NAME.items() if name.partition("_")[2] == lowered]
    if len(found) == 1:
        return found[0]
    raise InvalidRequestError(
        f"option: {quoted(lowered)} is the name of {'several' if found else 'no'} socket options",
        member="option",
        symbol="ENOPROTOOPT",
        hint=f"write {' or '.join(option.name for option in found)}"
        if found
        else close_matches(lowered.upper(), _NAMES),
    )


def _one_way(option: Option, which: str) -> InvalidRequestError:
    return InvalidRequestError(f"option: {option.name} {which}", member="option", symbol="ENOPROTOOPT")


def _call(sock: _socket.socket, option: Option, syscall: str, call: Callable[[_socket.socket], _T]) -> _T:
    """Make the system call, its refusal told in the daemon's words.

    CPython's getsockopt and setsockopt know nothing but 64-bit numbers on a vsock socket, of which the kernel
    writes the lower half (Modules/socketmodule.c), so there the descriptor is borrowed by an object that
    claims another family.
    """
    is_vsock = sock.family == _AF_VSOCK and sock.fileno() >= 0
    plain = _socket.socket(socket.AF_UNIX, sock.type, 0, sock.fileno()) if is_vsock else sock
    try:
        return call(plain)
    except OSError as error:
        symbol = errno.errorcode.get(error.errno or 0, "")
        raise KernelRefusedError(error, syscall, hint=hint(option, symbol)) from None
    finally:
        if plain is not sock:
            plain.detach()
