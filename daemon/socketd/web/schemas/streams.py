"""Shapes of streams."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import fields, validate

from socketd.web.schemas.base import AnswerSchema, StrictSchema
from socketd.web.schemas.headers import IDEMPOTENCY_KEY

UPLOAD_KEY: Final[dict[str, Any]] = {
    **IDEMPOTENCY_KEY,
    "description": "Of PUT and HEAD: names the upload. What of it was sent is not sent again.",
}
UPLOAD_OFFSET: Final[dict[str, Any]] = {
    "name": "Upload-Offset",
    "in": "header",
    "required": False,
    "schema": {"type": "integer", "minimum": 0},
    "description": "Of PUT: the position of the body's first byte in the upload; left out: 0.",
}
POSITION: Final[dict[str, Any]] = {
    "Upload-Offset": {
        "description": "With an Idempotency-Key: how many bytes of the upload have been sent.",
        "schema": {"type": "integer", "minimum": 0},
    },
}


def _idle_field() -> fields.Float:
    return fields.Float(
        allow_nan=False,
        validate=validate.Range(min=0),
        metadata={"description": "Seconds in which nothing moves; left out: it may rest for ever."},
    )


class ReadStreamQuerySchema(StrictSchema):
    """Query of ``GET /v1/sockets/{ref}/stream``."""

    timeout = _idle_field()


class WriteStreamQuerySchema(StrictSchema):
    """Query of ``PUT /v1/sockets/{ref}/stream``."""

    timeout = _idle_field()
    shutdown = fields.String(
        validate=validate.OneOf(("write",)),
        metadata={"description": "`write` shuts the socket for writing after the last byte."},
    )


class StreamedSchema(AnswerSchema):
    """How much went."""

    sent = fields.Integer(
        required=True,
        metadata={"description": "Bytes of this body that were sent, by this request or an earlier one."},
    )
    complete = fields.Boolean(required=True)
