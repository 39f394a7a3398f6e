"""Questions to NETLINK_SOCK_DIAG about sockets, by inode, by state or by address."""

from __future__ import annotations

import _socket
import ipaddress
import struct
from typing import TYPE_CHECKING

from socketd.kernel import inet_diag, netlink, tcp_info
from socketd.kernel.inet_diag import InetSocket

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ALL_STATES",
    "InetSocket",
    "file_inode",
    "inet_sockets",
    "is_unix_file_bound",
    "owner_of",
    "unix_listener_queue",
    "unix_peer_inode",
]

ALL_STATES = 0xFFFFFFFF

_FILE, _PEER, _RQLEN = 1, 2, 4  # UNIX_DIAG_*; the first is VFS
_SHOW_FILE, _SHOW_PEER, _SHOW_RQLEN = 0x2, 0x4, 0x10  # UDIAG_SHOW_*
_UNIX_REQUEST = struct.Struct("=BBxxIII2I")
_UNIX_MESSAGE = struct.Struct("=BBBxI2I")
_RQLEN_VALUE = struct.Struct("=II")
_INODE = struct.Struct("=I")
_WORD = 0xFFFFFFFF
_NO_COOKIE = 0xFFFFFFFFFFFFFFFF

_IPPROTO_MPTCP = 262  # CPython has the name only where the libc it was built with had it
# A socket that is only bound is in CLOSE, yet listed for this bit and not for CLOSE's, and from Linux 6.8 on.
_TCP_HOLDS_PORT = 1 << tcp_info.LISTEN | 1 << tcp_info.BOUND_INACTIVE


def unix_listener_queue(inode: int, cookie: int) -> tuple[int, int]:
    """Ask a listening Unix socket for the connections waiting to be accepted and the most that may wait.

    Of a socket that does not listen these would be bytes; the caller knows what it holds.

    Raises:
        OSError: ENOENT for an inode that no Unix socket of this network namespace has, ESTALE for one whose
            cookie is another.
        ValueError: The answer is not what sock_diag(7) says.
    """
    value = _unix_attribute(inode, cookie, _SHOW_RQLEN, _RQLEN)
    if value is None or len(value) < _RQLEN_VALUE.size:
        raise ValueError("unix_diag answered without UNIX_DIAG_RQLEN")
    pending, limit = _RQLEN_VALUE.unpack_from(value)
    return pending, limit


def unix_peer_inode(inode: int) -> int | None:
    """Ask a Unix socket for the inode of the one it is connected to.

    Returns:
        ``None`` without a peer, and for a peer that was not accepted yet and so has no inode.

    Raises:
        OSError: ENOENT for an inode that no Unix socket of this network namespace has.
        ValueError: The answer is not what sock_diag(7) says.
    """
    value = _unix_attribute(inode, _NO_COOKIE, _SHOW_PEER, _PEER)
    if value is None:
        return None
    if len(value) < _INODE.size:
        raise ValueError(f"UNIX_DIAG_PEER of {len(value)} bytes, {_INODE.size} expected")
    return int(_INODE.unpack_from(value)[0]) or None


def is_unix_file_bound(inode: int) -> bool:
    """Whether a Unix socket of this network namespace is bound to a file with this inode, on any file system.

    Raises:
        OSError: The kernel has no unix_diag.
        ValueError: The answer is not what sock_diag(7) says.
    """
    request = _UNIX_REQUEST.pack(_socket.AF_UNIX, 0, ALL_STATES, 0, _SHOW_FILE, _WORD, _WORD)
    return any(file_inode(payload) == inode & _WORD for payload in netlink.dump(request))


def file_inode(payload: bytes) -> int | None:
    """Take from one answer about a Unix socket the inode of its file, of which the kernel tells 32 bits.

    Returns:
        ``None`` if it is bound to none.

    Raises:
        ValueError: The answer is not what sock_diag(7) says.

    Source: include/uapi/linux/unix_diag.h, struct unix_diag_vfs.
    """
    value = decode_unix(payload).get(_FILE)
    if value is None:
        return None
    if len(value) < _INODE.size:
        raise ValueError(f"UNIX_DIAG_VFS of {len(value)} bytes, {_INODE.size} expected")
    return int(_INODE.unpack_from(value)[0])


def decode_unix(payload: bytes) -> dict[int, bytes]:
    """Take the attributes, by type, from one answer about a Unix socket.

    Raises:
        ValueError: ``payload`` ends before the attributes, or one of them does not fit.

    Source: sock_diag(7); include/uapi/linux/unix_diag.h.
    """
    if len(payload) < _UNIX_MESSAGE.size:
        raise ValueError(f"unix_diag_msg of {len(payload)} bytes, at least {_UNIX_MESSAGE.size} expected")
    return netlink.attributes(payload[_UNIX_MESSAGE.size :])


def inet_sockets(family: int, protocol: int, states: int = ALL_STATES) -> Iterator[InetSocket]:
    """Go through this network namespace's sockets of a family and protocol.

    The kernel is asked before this returns; only the decoding is left to each step.

    Args:
        family: ``AF_INET`` or ``AF_INET6``.
        protocol: ``IPPROTO_TCP``, ``IPPROTO_UDP``, …
        states: One bit a state, ``1 << tcp_info.LISTEN``.

    Raises:
        OSError: The kernel's refusal (ENOENT: it has no diagnosis for that protocol).
        ValueError: The answer is not what sock_diag(7) says.
    """
    return _decoded(family, protocol, states, 0)


def owner_of(family: int, protocol: int, address: str, port: int) -> tuple[int, int] | None:
    """Find whose socket keeps an address and port from being bound.

    Looks at TCP sockets that listen or are just bound and at UDP sockets in any state, wildcards and
    dual-stack IPv6 considered; the very address comes before a wildcard.

    Args:
        family: The family of ``address``; the other one's sockets are looked at too.
        protocol: ``IPPROTO_TCP``, ``IPPROTO_MPTCP`` or ``IPPROTO_UDP``.
        address: In numbers; a scope id is ignored.
        port: Above 0.

    Returns:
        Inode and user, or ``None`` if nobody has it (any more).

    Raises:
        OSError: The kernel's refusal.
        ValueError: ``address`` is none.
    """
    wanted = _plain(address)
    if protocol == _IPPROTO_MPTCP:
        # The ports are TCP's: an MPTCP listener is listed there as well, with its own inode.
        protocol = _socket.IPPROTO_TCP
    other = _socket.AF_INET if family == _socket.AF_INET6 else _socket.AF_INET6
    states = _TCP_HOLDS_PORT if protocol == _socket.IPPROTO_TCP else ALL_STATES
    best: InetSocket | None = None
    for each in (family, other):
        for held in _decoded(each, protocol, states, port):
            if _plain(held.local[0]) == wanted:
                return held.inode, held.uid
            if best is None and _collide(wanted, held):
                best = held
    return None if best is None else (best.inode, best.uid)


def _decoded(family: int, protocol: int, states: int, local_port: int) -> Iterator[InetSocket]:
    answers = netlink.dump(inet_diag.request(family, protocol, states, local_port))
    found = (inet_diag.decode(answer, protocol) for answer in answers)
    # Linux (6.18) compares no port of a TCP socket that is only bound: those come whatever was asked for.
    return (each for each in found if local_port in {0, each.local[1]})


def _unix_attribute(inode: int, cookie: int, show: int, kind: int) -> bytes | None:
    request = _UNIX_REQUEST.pack(
        _socket.AF_UNIX, 0, ALL_STATES, inode, show, cookie & _WORD, cookie >> 32 & _WORD
    )
    return decode_unix(netlink.ask(request)).get(kind)


def _collide(wanted: ipaddress.IPv4Address | ipaddress.IPv6Address, held: InetSocket) -> bool:
    theirs = _plain(held.local[0])
    if wanted.version == theirs.version:
        return wanted.is_unspecified or theirs.is_unspecified
    # Across families only "::" without IPV6_V6ONLY reaches; ours is taken to be so, as by default.
    if isinstance(theirs, ipaddress.IPv6Address):
        return theirs.is_unspecified and not held.is_v6only
    return wanted.is_unspecified


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed
