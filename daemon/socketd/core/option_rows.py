"""What the registry says about one socket option."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from socketd.core.option_codecs import Kind

Access: TypeAlias = Literal["r", "w", "rw"]
Row: TypeAlias = "tuple[str, int, Kind, Access, str]"


@dataclass(frozen=True, slots=True)
class Option:
    """A socket option.

    Attributes:
        name: As in the kernel's headers; ``LEVEL:NUMBER`` for one the registry does not have.
        level: The ``level`` of ``setsockopt(2)``.
        number: The ``optname`` of ``setsockopt(2)``.
        kind: What its value is.
        readable: ``getsockopt(2)`` knows it.
        writable: ``setsockopt(2)`` knows it.
        description: What it does, units included.
    """

    name: str
    level: int
    number: int
    kind: Kind
    readable: bool
    writable: bool
    description: str


def of_level(level: int, rows: tuple[Row, ...]) -> tuple[Option, ...]:
    """Make the options of one level from the rows of its table."""
    return tuple(
        Option(name, level, number, kind, "r" in access, "w" in access, description)
        for name, number, kind, access, description in rows
    )
