"""What a fuzzer is given: a parser with an oracle around it, what it begins with, and words it may try."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Target:
    """One parser.

    Attributes:
        feed: Has it read an input. Returns for what it reads and for what it refuses in its declared way;
            raises whatever else it raises, or ``AssertionError`` for what it should not have made of it.
        seeds: What mutation begins with, and inputs that once broke it; few, and each of its own kind.
        words: Texts that are put into inputs whole.
    """

    feed: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[str, ...] = ()


def as_text(data: bytes) -> str:
    """Read an input as text, in which bytes that are no UTF-8 become lone surrogates, as JSON can hold."""
    return data.decode("utf-8", "surrogateescape")


def check_message(error: Exception) -> None:
    """Hold an error that goes to a log or a status line to being one line of a bounded length."""
    message = str(error)
    assert message
    assert "\n" not in message, message
    assert len(message) <= 2000, len(message)
