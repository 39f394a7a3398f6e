"""Tables of kernel constants, read by name or by number as a person would type them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from socketd.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

INT_MAX: Final = 2**31 - 1
_SHOWN_AT_MOST: Final = 12
_QUOTED_AT_MOST: Final = 80


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names of one kind of constant.

    Where several names share a number, the first one listed is the one shown.

    Attributes:
        member: The request member a bad name is blamed on.
        prefixes: What may stand before a name, lower case (``af_``); the first is the canonical one.
        numbers: Name in lower case and without prefix, to number.
        names: The way back.
    """

    member: str
    prefixes: tuple[str, ...]
    numbers: Mapping[str, int]
    names: Mapping[int, str] = field(init=False)

    def __post_init__(self) -> None:
        """Turn the table round, once: every listing of sockets asks it thrice a socket."""
        backwards = {self.numbers[name]: name for name in reversed(list(self.numbers))}
        object.__setattr__(self, "names", backwards)

    def number(self, value: object) -> int:
        """Turn a name, a number, or a number in decimal or ``0x`` text into the number.

        Numbers without a name pass: the kernel itself says what it does not have.

        Raises:
            InvalidRequestError: no such name, not an ``int`` of the C language, or of another type.
        """
        if isinstance(value, str):
            number = self.find(value)
            return whole_number(_digits(value), self.member) if number is None else number
        return whole_number(value, self.member)

    def find(self, text: str) -> int | None:
        """Look a name up; ``None`` for text that looks like a number.

        Raises:
            InvalidRequestError: no such name.
        """
        name = text.lower().replace("-", "_")
        bare = next((name.removeprefix(p) for p in self.prefixes if name.startswith(p)), name)
        if bare in self.numbers:
            return self.numbers[bare]
        if name in self.numbers:
            return self.numbers[name]
        if _digits(text) is not None:
            return None
        raise InvalidRequestError(
            f"{self.member}: {quoted(text)} is not a name Linux has",
            member=self.member,
            hint=close_matches(bare, self.numbers),
        )

    def name(self, number: int) -> str:
        """Give the first name of a number; the number as text if it has none."""
        return self.names.get(number) or str(number)

    def mask(self, names: Iterable[str] | str) -> int:
        """Join flags given by name; a plain string is split at its commas, as a query string has them.

        Raises:
            InvalidRequestError: a name is unknown, or a number stands where a name should.
        """
        mask = 0
        for text in names.split(",") if isinstance(names, str) else names:
            bit = self.find(text.strip())
            if bit is None:
                raise InvalidRequestError(
                    f"{self.member}: flags are given by name, not {quoted(text)}",
                    member=self.member,
                    hint=close_matches("", self.numbers),
                )
            mask |= bit
        return mask

    def split(self, mask: int) -> list[str]:
        """Name the bits of a mask, prefix included, in the table's order; the nameless ones follow in hex."""
        found = []
        for name, bit in self.numbers.items():
            if mask & bit:
                found.append((self.prefixes[0] + name).upper())
                mask &= ~bit
        return [*found, hex(mask)] if mask else found


def whole_number(value: object, member: str, *, most: int = INT_MAX) -> int:
    """Return ``value`` if it is an integer (a bool is none) from 0 to ``most``.

    Raises:
        InvalidRequestError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidRequestError(
            f"{member}: {quoted(value)} is neither a name nor a whole number", member=member
        )
    if not 0 <= value <= most:
        raise InvalidRequestError(f"{member}: {quoted(value)} is outside 0..{most}", member=member)
    return int(value)


def close_matches(name: str, known: Iterable[str]) -> str:
    """Write the hint for a misspelt name: what is close to it, or else what there is."""
    names = list(known)
    close = difflib.get_close_matches(name[:_QUOTED_AT_MOST], names, n=3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    more = ", ..." if len(names) > _SHOWN_AT_MOST else ""
    return f"known are {', '.join(names[:_SHOWN_AT_MOST])}{more}"


def quoted(value: object) -> str:
    """Quote what a caller sent, cut to a length fit for an error message."""
    # str() of an int above 4300 digits raises ValueError (CVE-2020-10735), hex() does not.
    text = hex(value) if isinstance(value, int) and abs(value) > 2**128 else repr(value)
    return text if len(text) <= _QUOTED_AT_MOST else f"{text[:_QUOTED_AT_MOST]}..."


def _digits(text: str) -> int | None:
    """Read decimal or ``0x`` text of a sane length; ``None`` if it is no number."""
    if not text.isascii() or len(text) > len(str(2**64)):
        return None
    if text.isdigit():
        return int(text)
    try:
        return int(text, 16) if text[:2].lower() == "0x" and "_" not in text else None
    except ValueError:
        return None
