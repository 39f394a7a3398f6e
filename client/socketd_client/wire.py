"""JSON turned into frozen records: members this version does not know are ignored."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Self

from socketd_client.errors import BadAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable

_DECODE: Final = "decode"


def decoded(decode: Callable[[Any], Any]) -> dict[str, Callable[[Any], Any]]:
    """Make the ``metadata`` of a field whose JSON goes through ``decode``; ``null`` stays ``None``."""
    return {_DECODE: decode}


def each(decode: Callable[[Any], Any]) -> Callable[[list[Any]], tuple[Any, ...]]:
    """Make a decoder of lists from one of their members."""
    return lambda items: tuple(decode(item) for item in items)


def listed(answer: Mapping[str, Any], member: str) -> list[Any]:
    """Return the list an answer has in ``member``.

    Raises:
        BadAnswerError: It has none.
    """
    items = answer.get(member)
    if not isinstance(items, list):
        raise BadAnswerError(f"the answer has no list of {member}")
    return items


class Record:
    """Base of the answers: frozen dataclasses that read themselves from JSON."""

    __slots__ = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build the record.

        Raises:
            BadAnswerError: A member that this version cannot do without is missing or malformed.
        """
        if not isinstance(data, Mapping):  # a record without members that must be there would not notice
            raise BadAnswerError(f"the answer is no {cls.__name__}: {type(data).__name__}")
        members: dict[str, Any] = {}
        kind: Any = cls
        try:
            for name, decode in _plan(kind):
                if name in data:
                    value = data[name]
                    members[name] = value if decode is None or value is None else decode(value)
            return cls(**members)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise BadAnswerError(f"the answer is no {cls.__name__}: {error}") from error


@cache
def _plan(record: Any) -> tuple[tuple[str, Callable[[Any], Any] | None], ...]:
    """List a record's members and their decoders, once per class: a listing asks for it a thousand times."""
    return tuple((member.name, member.metadata.get(_DECODE)) for member in dataclasses.fields(record))
