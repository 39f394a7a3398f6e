"""Shapes of names."""

from __future__ import annotations

from marshmallow import fields, validate

from socketd.core.saving import BOOT
from socketd.web.schemas.base import AnswerSchema
from socketd.web.schemas.problem import ProblemSchema
from socketd.web.schemas.sockets import OwnerSchema


class NamedSchema(AnswerSchema):
    """A name, and what it stands for."""

    name = fields.String(required=True, metadata={"example": "web"})
    owner = fields.Nested(
        OwnerSchema(),
        required=True,
        allow_none=True,
        metadata={"description": "null where a file that cannot be read has the name."},
    )
    persist = fields.Raw(
        required=True,
        validate=validate.OneOf((False, BOOT)),
        metadata={"description": "boot: it is made again at each start of the daemon."},
    )
    socket = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Descriptor number, if it is there."}
    )
    failure = fields.Nested(
        ProblemSchema(),
        required=True,
        allow_none=True,
        metadata={"description": "Why it is not, though it persists."},
    )
    retry_at = fields.String(
        required=True,
        allow_none=True,
        metadata={"format": "date-time", "description": "When that is tried again."},
    )


class NamesSchema(AnswerSchema):
    """Several names."""

    names = fields.List(fields.Nested(NamedSchema()), required=True)
