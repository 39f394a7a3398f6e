"""Who makes a request: the identity that the kernel, a token or a certificate vouches for."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from functools import lru_cache

from socketd.core.owner import Owner

__all__ = ["Caller", "Owner", "absent", "group_name", "user_name"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who asks.

    Attributes:
        owner: Whose the sockets are that it makes: on the Unix socket the user of SO_PEERCRED.
        gid: From SO_PEERCRED; ``None`` for a token and a certificate.
        groups: By number, ``gid`` among them: those of the process that connected, by SO_PEERGROUPS.
        pid: Of that process; ``None`` over TCP.
        via: ``"unix"``, ``"tcp"``, or ``"boot"`` for the owner of a socket that is made again.
    """

    owner: Owner
    gid: int | None
    groups: frozenset[int]
    pid: int | None
    via: str

    @property
    def uid(self) -> int | None:
        """The user's number; ``None`` for a token and a certificate."""
        return self.owner.uid


def absent(owner: Owner) -> Caller:
    """Stand for somebody who asked before the last reboot, and is not there now; a user has its groups.

    Blocks as long as the name service does (an LDAP, say).
    """
    gid, groups = None, frozenset[int]()
    if owner.uid is not None:
        try:
            user = pwd.getpwuid(owner.uid)
        except (KeyError, OverflowError):  # such a user there is no more, or never was
            pass
        else:
            gid, groups = user.pw_gid, frozenset(os.getgrouplist(user.pw_name, user.pw_gid))
    return Caller(owner, gid, groups, None, "boot")


@lru_cache(maxsize=256)  # getpwuid reads files, or asks a directory server, at every call
def user_name(uid: int) -> str | None:
    """Look a user up; ``None`` if there is none of that number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return None


@lru_cache(maxsize=256)
def group_name(gid: int) -> str | None:
    """Look a group up; ``None`` if there is none of that number."""
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return None
