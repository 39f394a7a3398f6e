"""Who makes a request: the identity that the kernel or a token vouches for."""

from __future__ import annotations

import pwd
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who asks.

    Attributes:
        uid: From SO_PEERCRED on the Unix socket; the daemon's own for a token on TCP.
        gid: Likewise.
        pid: Of the process that connected; ``None`` over TCP.
        via: ``"unix"`` or ``"tcp"``.
    """

    uid: int
    gid: int
    pid: int | None
    via: str

    def may_see(self, owner_uid: int) -> bool:
        """Whether a socket of ``owner_uid`` exists for this caller: one's own do, and all for root."""
        return self.uid in (owner_uid, 0)


@lru_cache(maxsize=256)  # getpwuid reads files, or asks a directory server, at every call
def user_name(uid: int) -> str | None:
    """Look a user up; ``None`` if there is none of that number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return None
