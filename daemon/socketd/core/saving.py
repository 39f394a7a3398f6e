"""Specifications that outlive the host's running: what is saved of a socket, and saving nothing."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from socketd.errors import NotSavedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from socketd.core.owner import Owner
    from socketd.errors import UnreadableSpecificationError

BOOT: Final = "boot"
"""The only way to persist: the socket is made again when the daemon starts and does not hold it."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A socket that shall be there again after a reboot.

    Attributes:
        document: Its specification in the words of the API's request, as JSON has them.
    """

    name: str
    owner: Owner
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that has a socket's name and holds nothing that can be understood."""

    name: str
    error: UnreadableSpecificationError


class Nowhere:
    """No place to save anything (``core.seams.SpecificationStore``)."""

    def save(self, saved: Saved) -> None:
        """Refuse."""
        del saved
        raise NotSavedError(OSError(errno.ENOENT, ""), "open", "none is configured")

    def remove(self, names: Sequence[str]) -> None:
        """Do nothing: nothing is there."""

    def load(self) -> Sequence[Saved | Unreadable]:
        """Find nothing."""
        return ()
