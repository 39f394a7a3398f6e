"""The users and groups of the host by name, as a policy writes them."""

from __future__ import annotations

import grp
import os
import pwd
from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable


class Directory(Protocol):
    """Who there is."""

    def uid(self, name: str) -> int | None:
        """Find a user's number; ``None`` if there is no such user."""

    def gid(self, name: str) -> int | None:
        """Find a group's number; ``None`` if there is no such group."""


class HostDirectory:
    """The host's own; blocks as long as its name service does (an LDAP, say)."""

    def uid(self, name: str) -> int | None:
        """Ask getpwnam(3)."""
        try:
            return pwd.getpwnam(name).pw_uid
        except (KeyError, ValueError):  # a name with a NUL is no key, either
            return None

    def gid(self, name: str) -> int | None:
        """Ask getgrnam(3)."""
        try:
            return grp.getgrnam(name).gr_gid
        except (KeyError, ValueError):
            return None

    def groups(self, uid: int) -> tuple[int, frozenset[int]]:
        """Find the group of a user and all of its groups, that one among them.

        Raises:
            KeyError: There is no such user.
        """
        user = pwd.getpwuid(uid)
        return user.pw_gid, frozenset(os.getgrouplist(user.pw_name, user.pw_gid))


def suggest(wrong: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?", or nothing when no known word is close."""
    close = get_close_matches(wrong, list(known), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""
