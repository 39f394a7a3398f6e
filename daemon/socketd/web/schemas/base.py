"""Fields and schemas that the others are made of: strict ones, and words of the system calls."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from socketd.core.naming import NAME
from socketd.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class StrictSchema(Schema):
    """A request's shape: members it does not name are errors."""

    class Meta:
        """Unknown members are refused, so that a typing error is told and not ignored."""

        unknown = RAISE


class AnswerSchema(Schema):
    """An answer's shape; it documents, and tests hold the compiled answers to it."""

    class Meta:
        """A member the daemon sends and the document lacks fails the tests."""

        unknown = RAISE


class Word(fields.Field[Any]):
    """A name or a number of the kernel's vocabulary, as a person types it."""

    def __init__(self, read: Callable[[Any], Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._read = read

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        del attr, data, kwargs
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValidationError("Must be a name or a number.")
        return understood(lambda: self._read(value))


class FlagList(fields.Field[int]):
    """Flags by name: a list in JSON, a comma-separated text in a query."""

    def __init__(self, read: Callable[[Any], int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._read = read

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        del attr, data, kwargs
        names = [name for name in value.split(",") if name] if isinstance(value, str) else value
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValidationError("Must be a list of names.")
        return int(understood(lambda: self._read([name.strip() for name in names])))


def understood(read: Callable[[], Any]) -> Any:
    """Make the core's refusal of a word a schema error, so that it names the member.

    The refusal itself stands among the messages: it knows its errno and its hint (``web/errors.py``).
    """
    try:
        return read()
    except InvalidRequestError as error:
        raise ValidationError([error]) from error


def name_field(**kwargs: Any) -> fields.String:
    """Make the field of a socket's name."""
    return fields.String(
        validate=validate.Regexp(
            re.compile(NAME.pattern + r"\Z"), error="Must match [A-Za-z][A-Za-z0-9._@-]{{0,254}}."
        ),
        metadata={
            "description": "Unique; may stand wherever a descriptor number may.",
            "pattern": f"^{NAME.pattern}$",
            "example": "web",
        },
        **kwargs,
    )


def timeout_field() -> fields.Float:
    """Make the field of a wait."""
    return fields.Float(
        allow_nan=False,
        validate=validate.Range(min=0),
        metadata={
            "description": "Seconds to wait; 0 does not wait, left out means the daemon's default, "
            "and a larger one than the daemon's limit is cut to it.",
            "example": 30,
        },
    )


def whole(description: str, minimum: int = 0, maximum: int = 2**31 - 1, **kwargs: Any) -> fields.Integer:
    """Make the field of a bounded whole number."""
    return fields.Integer(
        strict=kwargs.pop("strict", True),
        validate=validate.Range(min=minimum, max=maximum),
        metadata={"description": description},
        **kwargs,
    )


def query_number(
    description: str, minimum: int = 0, maximum: int = 2**31 - 1, **kwargs: Any
) -> fields.Integer:
    """Make the same for a query, where numbers are digits."""
    return whole(description, minimum, maximum, strict=False, **kwargs)
