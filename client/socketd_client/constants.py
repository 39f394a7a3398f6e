"""Names on the wire and numbers of this platform's ``socket`` module, either way."""

from __future__ import annotations

import errno
import select
import socket
from functools import lru_cache
from typing import Final

from socketd_client.arguments import c_int

# Where fileno() starts. The kernel lets no process have descriptors this high (fs.nr_open is capped below
# 2**30, fs/file.c sysctl_nr_open_max), so a held socket's number used as a local descriptor is EBADF.
FILENO_BASE: Final = 1 << 30

_BACKLOG_MOST: Final = 0xFFFF
_TYPE_FLAGS: Final = getattr(socket, "SOCK_NONBLOCK", 0) | getattr(socket, "SOCK_CLOEXEC", 0)
_FAMILIES: Final = ("inet", "inet6", "unix", "vsock", "netlink", "packet")
_TYPES: Final = ("stream", "dgram", "seqpacket", "raw", "rdm")
_PROTOCOL_PREFIXES: Final = ("IPPROTO_", "ETH_P_", "NETLINK_", "ETHERTYPE_")
_FAMILY_NAMES: Final = {
    int(getattr(socket, f"AF_{name.upper()}")): name
    for name in _FAMILIES
    if hasattr(socket, f"AF_{name.upper()}")
}
_TYPE_NAMES: Final = {int(getattr(socket, f"SOCK_{name.upper()}")): name for name in _TYPES}
_HOWS: Final = {socket.SHUT_RD: "read", socket.SHUT_WR: "write", socket.SHUT_RDWR: "both"}


def errno_number(symbol: str | None) -> int | None:
    """Return the number of an errno or ``EAI_`` name on this platform; ``None`` if it has no such name."""
    if symbol is None:
        return None
    number = getattr(socket if symbol.startswith("EAI_") else errno, symbol, None)
    return number if isinstance(number, int) else None


def family_name(family: int | str) -> int | str:
    """Name an address family; names, and numbers without one, pass as they are."""
    return family if isinstance(family, str) else _FAMILY_NAMES.get(int(family), int(family))


def type_name(kind: int | str) -> int | str:
    """Name a socket type without its ``SOCK_NONBLOCK`` and ``SOCK_CLOEXEC`` bits."""
    if isinstance(kind, str):
        return kind
    bare = int(kind) & ~_TYPE_FLAGS
    return _TYPE_NAMES.get(bare, bare)


def is_nonblocking(kind: int | str | None) -> bool:
    """Tell whether a socket type asks for ``SOCK_NONBLOCK``."""
    return isinstance(kind, int) and bool(kind & getattr(socket, "SOCK_NONBLOCK", 0))


@lru_cache(maxsize=256)
def family_number(name: str) -> int:
    """Return the number of a family of the wire; 0 (``AF_UNSPEC``) where this platform lacks it."""
    number = int(name) if name.isdigit() else int(getattr(socket, f"AF_{name.upper()}", 0))
    try:
        return socket.AddressFamily(number)
    except ValueError:
        return number


@lru_cache(maxsize=64)
def type_number(name: str) -> int:
    """Return the number of a socket type of the wire; 0 where this platform lacks it."""
    number = int(name) if name.isdigit() else int(getattr(socket, f"SOCK_{name.upper()}", 0))
    try:
        return socket.SocketKind(number)
    except ValueError:
        return number


@lru_cache(maxsize=256)
def protocol_number(name: str | int | None) -> int:
    """Return the number of a protocol of the wire; 0 where this platform has no name for it."""
    if isinstance(name, int) or name is None:
        return name or 0
    if name.isdigit():
        return int(name)
    upper = name.upper().replace("-", "_")
    found = (getattr(socket, prefix + upper, None) for prefix in _PROTOCOL_PREFIXES)
    return next((int(number) for number in found if number is not None), 0)


def backlog(number: int) -> int:
    """Return what ``listen`` asks for; the kernel caps it far below 65535.

    Raises:
        TypeError, OverflowError: It is no C ``int``.
    """
    return min(max(c_int(number), 0), _BACKLOG_MOST)


def how_name(how: int) -> str:
    """Name a direction of ``shutdown``.

    Raises:
        OSError: EINVAL, as the kernel says for any other number.
    """
    if how not in _HOWS:
        raise OSError(errno.EINVAL, "shutdown: how is none of SHUT_RD, SHUT_WR, SHUT_RDWR")
    return _HOWS[how]


@lru_cache(maxsize=256)
def message_flag_names(flags: int) -> tuple[str, ...]:
    """Name the bits of ``send`` and ``recv`` flags.

    Raises:
        OSError: EOPNOTSUPP, for a bit this platform has no name for.
    """
    return _names(flags, "MSG_", socket)


def flag_mask(*names: str) -> int:
    """Join flags of ``send`` and ``recv``, named without ``MSG_``; this platform need not have them."""
    mask = 0
    for name in names:
        mask |= int(getattr(socket, f"MSG_{name}", 0))
    return mask


def address_flag_names(flags: int) -> tuple[str, ...]:
    """Name the bits of ``getaddrinfo`` flags."""
    return _names(flags, "AI_", socket)


def poll_event_names(mask: int) -> tuple[str, ...]:
    """Name the bits of a ``select.poll`` mask."""
    return _names(mask, "POLL", select)


def poll_mask(names: list[str]) -> int:
    """Join events of the wire into a ``select.poll`` mask; names this platform lacks are dropped."""
    mask = 0
    for name in names:
        mask |= getattr(select, name, 0)
    return mask


def _names(mask: int, prefix: str, module: object) -> tuple[str, ...]:
    names: list[str] = []
    for name, bit in sorted(vars(module).items()):
        if name.startswith(prefix) and isinstance(bit, int) and bit and mask & bit == bit:
            names.append(name)
            mask &= ~bit
    if mask:
        raise OSError(errno.EOPNOTSUPP, f"flag {mask:#x} has no {prefix}* name")
    return tuple(names)
