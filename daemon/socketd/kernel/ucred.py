"""Who is at the other end of a Unix socket."""

from __future__ import annotations

import _socket
import errno
import os
import pwd
import struct
from dataclasses import dataclass

from socketd.kernel import sockopt

_SO_PEERGROUPS = 59  # asm-generic/socket.h; CPython has no name for it
_UCRED = struct.Struct("=iII")
_NOBODY_ASKED = 0xFFFFFFFF
_MOST_BYTES = 1024  # CPython's limit for getsockopt: 256 groups, where NGROUPS_MAX is 65,536
_GID_BYTES = 4


@dataclass(frozen=True, slots=True)
class Ucred:
    """Credentials as the kernel noted them when the peer called connect, listen or socketpair.

    Attributes:
        pid: In our namespace; 0 for a process that is not visible from it.
    """

    pid: int
    uid: int
    gid: int


def peer(fd: int) -> Ucred:
    """Ask ``SO_PEERCRED``.

    Raises:
        OSError: ENOTCONN where there is no peer whose credentials were noted; else the kernel's own.
    """
    return decode(sockopt.get(fd, _socket.SOL_SOCKET, _socket.SO_PEERCRED, _UCRED.size))


def decode(raw: bytes) -> Ucred:
    """Turn a ``struct ucred`` into a record.

    Raises:
        ValueError: ``raw`` is not as long as the struct.
        OSError: ENOTCONN for the all-ones user by which the kernel says that it noted none.

    Source: unix(7) SO_PEERCRED; net/core/sock.c, cred_to_ucred().
    """
    if len(raw) != _UCRED.size:
        raise ValueError(f"struct ucred of {len(raw)} bytes, {_UCRED.size} expected")
    credentials = Ucred(*_UCRED.unpack(raw))
    # An unmapped user of another namespace shows as overflowuid (65534), so only "nobody noted" is all ones;
    # passing it on would make a caller of it.
    if credentials.uid == _NOBODY_ASKED:
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
    return credentials


def peer_groups(fd: int) -> tuple[int, ...]:
    """Ask ``SO_PEERGROUPS``: the supplementary groups the peer's process had, not those its user has now.

    Falls back to looking them up for a peer in more than 256 groups.

    Raises:
        OSError: ENODATA where no peer's credentials were noted; else the kernel's own.
    """
    try:
        return decode_groups(sockopt.get(fd, _socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST_BYTES))
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
    credentials = peer(fd)
    return groups(credentials.uid, credentials.gid)


def decode_groups(raw: bytes) -> tuple[int, ...]:
    """Turn an array of ``gid_t`` into numbers.

    Raises:
        ValueError: ``raw`` ends within a number.
    """
    if len(raw) % _GID_BYTES:
        raise ValueError(f"{len(raw)} bytes are no whole number of group ids")
    return struct.unpack(f"={len(raw) // _GID_BYTES}I", raw)


def groups(uid: int, gid: int) -> tuple[int, ...]:
    """Look up the groups of a user, ``gid`` among them; just ``gid`` for a user without a name.

    Blocks as long as the name service does (an LDAP, say): prefer ``peer_groups``.
    """
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return (gid,)
    return tuple(os.getgrouplist(name, gid))
