"""What a listing shows, and which of its pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from socketd import inspection

if TYPE_CHECKING:
    from socketd.core.entry import Entry
    from socketd.core.owner import Owner


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sockets a listing shows; ``None`` means any."""

    family: int | None = None
    type: int | None = None
    state: str | None = None
    name: str | None = None
    port: int | None = None
    owner: Owner | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing; ``next_after`` is the number to go on after, ``None`` at the end."""

    entries: tuple[Entry, ...]
    next_after: int | None


def fits(entry: Entry, wanted: Filter) -> bool:
    """Whether a socket is one of them. Cheap questions first; state and port ask the kernel."""
    if wanted.family is not None and entry.family != wanted.family:
        return False
    if wanted.type is not None and entry.type != wanted.type:
        return False
    if wanted.name is not None and entry.name != wanted.name:
        return False
    if wanted.owner is not None and entry.owner != wanted.owner:
        return False
    view = inspection.View(entry)
    if wanted.port is not None and inspection.port(view) != wanted.port:
        return False
    return wanted.state is None or view.state == wanted.state
