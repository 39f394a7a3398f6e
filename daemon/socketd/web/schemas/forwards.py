"""Shapes of forwards."""

from __future__ import annotations

from typing import Final

from marshmallow import fields, validate

from socketd.service.forwarding import CLOSE, ENDED, KEEP, RUNNING
from socketd.web.schemas.base import AnswerSchema, StrictSchema
from socketd.web.schemas.passing import References
from socketd.web.schemas.problem import ProblemSchema
from socketd.web.schemas.sockets import OwnerSchema

_PAIR: Final = validate.Length(equal=2)
_NUMBERS: Final = {"minItems": 2, "maxItems": 2}


class ForwardRequestSchema(StrictSchema):
    """Body of ``POST /v1/forwards``."""

    sockets = References(
        required=True,
        validate=_PAIR,
        metadata={
            "type": "array",
            "items": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            **_NUMBERS,
            "description": "Two connected stream sockets, by descriptor number or name.",
            "example": ["left", "right"],
        },
    )
    on_end = fields.String(
        load_default=KEEP,
        validate=validate.OneOf((KEEP, CLOSE)),
        metadata={
            "description": "close: both sockets are closed when the forward has ended, by whatever but the "
            "end of the daemon."
        },
    )


class ForwardQuerySchema(StrictSchema):
    """Query of ``GET /v1/forwards/{id}``."""

    timeout = fields.Float(
        load_default=0.0,
        allow_nan=False,
        validate=validate.Range(min=0),
        metadata={"description": "Wait for its end, so many seconds at most.", "example": 30},
    )


class StopQuerySchema(StrictSchema):
    """Query of ``DELETE /v1/forwards/{id}``."""

    timeout = fields.Float(
        allow_nan=False,
        validate=validate.Range(min=0),
        metadata={
            "description": "How many seconds what was taken already has to be delivered; 5 if left out. What "
            "is not by then is told in undelivered_bytes.",
            "example": 5,
        },
    )


class WaysSchema(AnswerSchema):
    """Bytes, each way."""

    to_first = fields.Integer(required=True)
    to_second = fields.Integer(required=True)


class ForwardSchema(AnswerSchema):
    """Two held sockets joined inside the daemon, or how that ended."""

    id = fields.String(required=True, metadata={"example": "5f2e8a01c4d7"})
    sockets = fields.List(
        fields.Integer(),
        required=True,
        validate=_PAIR,
        metadata={"description": "Descriptor numbers: of the first and of the second."},
    )
    cookies = fields.List(
        fields.Integer(), required=True, validate=_PAIR, metadata={"description": "SO_COOKIE, likewise."}
    )
    owner = fields.Nested(OwnerSchema(), required=True, metadata={"description": "Who asked for it."})
    on_end = fields.String(required=True, validate=validate.OneOf((KEEP, CLOSE)))
    created_at = fields.String(required=True, metadata={"format": "date-time"})
    ended_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    state = fields.String(required=True, validate=validate.OneOf((RUNNING, ENDED)))
    moved_bytes = fields.Nested(
        WaysSchema(), required=True, metadata={"description": "What each socket's kernel buffer was given."}
    )
    undelivered_bytes = fields.Nested(
        WaysSchema(),
        required=True,
        metadata={"description": "What was taken from the other socket, and is lost."},
    )
    whole = fields.Boolean(
        required=True,
        metadata={"description": "Both have come to their end of file, and everything was delivered."},
    )
    error = fields.Nested(
        ProblemSchema(),
        required=True,
        allow_none=True,
        metadata={"description": "What the kernel said, if that ended it."},
    )


class ForwardsSchema(AnswerSchema):
    """Several forwards."""

    forwards = fields.List(fields.Nested(ForwardSchema()), required=True)
