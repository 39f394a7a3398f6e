"""One question to the kernel's NETLINK_SOCK_DIAG and its answer, message framing included."""

from __future__ import annotations

import _socket
import errno
import os
import struct
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP, _NLM_F_DUMP_INTR = 0x1, 0x300, 0x10
_NLA_TYPE_MASK = 0x3FFF  # above it are NLA_F_NESTED and NLA_F_NET_BYTEORDER

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ERROR = struct.Struct("=i")
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_MOST_ERRNO = 4095  # MAX_ERRNO, include/linux/err.h
_ALIGN = 4
_MOST_BYTES = 65536  # the kernel fills at most 32 KiB for one recvmsg(2) of a dump
_SEQUENCE = 1  # one question a socket


def ask(payload: bytes) -> bytes:
    """Ask about one socket and return the payload of the one answer.

    Raises:
        OSError: The kernel's refusal (ENOENT: no such socket).
        ValueError: The answer is no netlink message.
    """
    (answer,) = _exchange(payload, _NLM_F_REQUEST)
    return answer


def dump(payload: bytes) -> list[bytes]:
    """Ask about many sockets and return the payload of each answer, in the kernel's order.

    All is received before this returns, so no half-read netlink socket is left to a caller that stops early.

    Raises:
        OSError: The kernel's refusal; EINTR when its tables changed so much that entries may be missing.
        ValueError: The answer is no netlink message.
    """
    return list(_exchange(payload, _NLM_F_REQUEST | _NLM_F_DUMP))


def messages(datagram: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Take a datagram apart into ``(type, flags, payload)``.

    Raises:
        ValueError: A message's length does not fit.

    Source: netlink(7).
    """
    offset = 0
    while offset < len(datagram):
        if len(datagram) - offset < _HEADER.size:
            raise ValueError(f"netlink header of {len(datagram) - offset} bytes, {_HEADER.size} expected")
        length, kind, flags, _, _ = _HEADER.unpack_from(datagram, offset)
        if not _HEADER.size <= length <= len(datagram) - offset:
            raise ValueError(f"netlink message of {length} bytes in {len(datagram) - offset}")
        yield kind, flags, datagram[offset + _HEADER.size : offset + length]
        offset += _aligned(length)


def attributes(raw: bytes) -> dict[int, bytes]:
    """Take what follows an answer's fixed part apart into attributes by type; of two alike the last counts.

    Raises:
        ValueError: An attribute's length does not fit.

    Source: netlink(7); include/uapi/linux/netlink.h, struct nlattr.
    """
    found = {}
    offset = 0
    # Fewer bytes than a header at the end are padding.
    while len(raw) - offset >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(raw, offset)
        if not _ATTRIBUTE.size <= length <= len(raw) - offset:
            raise ValueError(f"netlink attribute of {length} bytes in {len(raw) - offset}")
        found[kind & _NLA_TYPE_MASK] = raw[offset + _ATTRIBUTE.size : offset + length]
        offset += _aligned(length)
    return found


def attribute(kind: int, value: bytes) -> bytes:
    """Put one attribute together, padding included."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(_aligned(length) - length)


def raise_for_error(kind: int, flags: int, payload: bytes) -> None:
    """Raise what a message says went wrong, if it does.

    Raises:
        OSError: The errno in NLMSG_ERROR, or in the NLMSG_DONE that ends a dump early; EINTR for
            NLM_F_DUMP_INTR.
        ValueError: NLMSG_ERROR without an errno, or with a number that is none.
    """
    if kind == _NLMSG_ERROR and len(payload) < _ERROR.size:
        raise ValueError(f"NLMSG_ERROR of {len(payload)} bytes, at least {_ERROR.size} expected")
    number = 0
    if kind in (_NLMSG_ERROR, _NLMSG_DONE) and len(payload) >= _ERROR.size:
        number = -_ERROR.unpack_from(payload)[0]
    if number <= 0 and flags & _NLM_F_DUMP_INTR:
        number = errno.EINTR
    if number > _MOST_ERRNO:
        raise ValueError(f"netlink error {number} is no errno")
    if number > 0:
        raise OSError(number, os.strerror(number))


def _exchange(payload: bytes, flags: int) -> Iterator[bytes]:
    kind = _socket.SOCK_RAW | _socket.SOCK_CLOEXEC
    with closing(_socket.socket(_socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG)) as sock:
        length = _HEADER.size + len(payload)
        header = _HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, flags, _SEQUENCE, 0)
        sock.sendto(header + payload, (0, 0))
        is_done = False
        while not is_done:
            for kind, message_flags, body in messages(_receive(sock)):
                raise_for_error(kind, message_flags, body)
                is_done = kind in (_NLMSG_DONE, _NLMSG_ERROR) or not flags & _NLM_F_DUMP
                if kind not in (_NLMSG_DONE, _NLMSG_ERROR):
                    yield body


def _receive(sock: _socket.socket) -> bytes:
    # The kernel answers within sendto(2), and makes the next part of a dump within each recvmsg(2): there is
    # nothing to wait for, so an answer that is not there must be EAGAIN and not a stopped event loop.
    while True:
        datagram, _, flags, sender = sock.recvmsg(_MOST_BYTES, 0, _socket.MSG_DONTWAIT)
        if flags & _socket.MSG_TRUNC:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        if sender[0] == 0:  # port 0 is the kernel's; anybody privileged may send here
            return datagram


def _aligned(length: int) -> int:
    return length + _ALIGN - 1 & ~(_ALIGN - 1)
