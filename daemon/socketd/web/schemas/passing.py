"""Shapes of what takes descriptors and gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from marshmallow import ValidationError, fields, validate

from socketd.web.schemas.base import StrictSchema, name_field, whole
from socketd.web.schemas.sockets import MAX_COUNT, FieldsSchema

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_NUMBER: Final = 2**31 - 1


class TakeSchema(StrictSchema):
    """Body of ``POST /v1/sockets/{ref}/take``."""

    release = fields.Boolean(
        load_default=False,
        metadata={"description": "Move instead of duplicate: the daemon forgets its own afterwards."},
    )
    blocking = fields.Boolean(
        load_default=False,
        metadata={
            "description": "Without O_NONBLOCK, which belongs to the open file description and so to all who "
            "share it: accept and connect through the API are EBUSY until it is taken non-blocking again."
        },
    )


class References(fields.Field[list[str]]):
    """Numbers and names; a List of fields would cost more for each than its descriptor does."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> list[str]:
        del attr, data, kwargs
        if not isinstance(value, list) or not {type(each) for each in value} <= {str, int}:
            raise ValidationError("Must be a list of descriptor numbers and names.")
        return list(map(str, value))


class TakeManySchema(TakeSchema):
    """Body of ``POST /v1/sockets/take``."""

    sockets = References(
        required=True,
        validate=validate.Length(1, MAX_COUNT),
        metadata={
            "type": "array",
            "items": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            "description": "Descriptor numbers or names, in the order wanted.",
            "example": ["web"],
        },
    )


class GiveQuerySchema(FieldsSchema):
    """Query of ``POST /v1/sockets/give``."""

    existing = fields.String(
        validate=validate.OneOf(("ok",)),
        metadata={"description": "ok: a duplicate of a socket you hold is answered with that one."},
    )


class OfferSchema(StrictSchema):
    """What one given descriptor shall be."""

    name = name_field(allow_none=True)
    persist = fields.Boolean(
        validate=validate.OneOf(
            (False,), error="Must be false: nobody here knows how to make a socket again that was given."
        )
    )


class ManifestSchema(StrictSchema):
    """What a giver says before its descriptors come."""

    sockets = fields.List(fields.Nested(OfferSchema()), required=True, validate=validate.Length(1, MAX_COUNT))


class GiveFromSchema(OfferSchema):
    """Body of ``POST /v1/sockets/give``, without ``Upgrade``."""

    pid = whole("The process that has it.", 1, MAX_NUMBER, required=True)
    fd = whole("The descriptor's number there.", 0, MAX_NUMBER, required=True)
