"""A table of a policy's file: its keys are known, its values of their kinds, and what is wrong is told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from socketd.access.directory import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

_SHOWN: Final = 80
MOST_NUMBER: Final = 2**53
"""What a JSON number holds exactly; ``GET /v1/caller`` tells the bounds."""


class PolicyError(Exception):
    """A policy cannot be used; the message is one line that says where and what instead."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table, and where it stands.

    Every method reads one key and raises ``PolicyError``.
    """

    where: str
    values: Mapping[str, Any]

    def check(self, known: Collection[str]) -> None:
        """Refuse keys that mean nothing."""
        for key in self.values:
            if key not in known:
                raise self.error(f"unknown key {key[:_SHOWN]!r}{suggest(key, known)}")

    def words(self, key: str) -> tuple[str, ...]:
        """Read texts: one, or a list of them."""
        found = self.values.get(key, ())
        listed = (found,) if isinstance(found, str) else found
        if not isinstance(listed, list | tuple) or not all(isinstance(each, str) and each for each in listed):
            raise self.error(f"{key} is {shown(found)}; it takes a text or a list of texts")
        return tuple(listed)

    def each(self, key: str, read: Callable[[str], Any]) -> tuple[Any, ...]:
        """Read texts, and each of them by what raises ``ValueError``."""
        found = []
        for word in self.words(key):
            try:
                found.append(read(word))
            except ValueError as error:
                raise self.error(f"{key}: {error}") from None
        return tuple(found)

    def numbers(self, key: str, most: int) -> frozenset[int]:
        """Read whole numbers from 0: one, or a list of them."""
        found = self.values.get(key, ())
        listed = found if isinstance(found, list | tuple) else (found,)
        if not all(type(each) is int and 0 <= each <= most for each in listed):
            raise self.error(f"{key} is {shown(found)}; it takes numbers from 0 to {most}")
        return frozenset(listed)

    def flag(self, key: str) -> bool:
        """Read yes or no; what is not there is no."""
        found = self.values.get(key, False)
        if not isinstance(found, bool):
            raise self.error(f"{key} is {shown(found)}; it takes true or false")
        return found

    def whole(self, key: str, least: int = 0) -> int | None:
        """Read a whole number."""
        found = self.values.get(key)
        if found is not None and (type(found) is not int or not least <= found <= MOST_NUMBER):
            raise self.error(
                f"{key} is {shown(found)}; it takes a whole number from {least} to {MOST_NUMBER}"
            )
        return found

    def rate(self, key: str) -> float | None:
        """Read how often in a second."""
        found = self.values.get(key)
        if found is None:
            return None
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        if not is_number or not math.isfinite(found) or not 0 < found <= MOST_NUMBER:
            raise self.error(f"{key} is {shown(found)}; it takes a number above 0")
        return float(found)

    def table(self, key: str) -> Table:
        """Read a table within this one."""
        found = self.values.get(key, {})
        if not isinstance(found, dict):
            raise self.error(f"{key} is {shown(found)}; it takes a table, as {key} = {{ sockets = 100 }}")
        return Table(f"{self.where}: {key}", found)

    def error(self, message: str) -> PolicyError:
        """Make the refusal that says where."""
        return PolicyError(f"{self.where}: {message}")


def shown(value: object) -> str:
    """Write a value for a message: on one line, and not too long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
