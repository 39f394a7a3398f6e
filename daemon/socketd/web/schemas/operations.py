"""Shapes of socket options and of what the kernel knows about a socket."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from socketd.core.option_codecs import BUFFER_MAX
from socketd.web.schemas.address import Base64
from socketd.web.schemas.base import AnswerSchema, StrictSchema, query_number
from socketd.web.schemas.sockets import BacklogSchema


class OptionQuerySchema(StrictSchema):
    """Query of ``GET …/options/{NAME}``."""

    length = query_number("Read so many raw bytes.", 1, BUFFER_MAX)


class SetOptionSchema(StrictSchema):
    """Body of ``PUT …/options/{NAME}``: a typed value, or the bytes for the kernel."""

    value = fields.Raw(metadata={"description": "Of the option's type.", "example": True})
    base64 = Base64()

    @validates_schema
    def check_one(self, data: dict[str, Any], **_: Any) -> None:
        """Exactly one of the two."""
        if ("value" in data) == ("base64" in data):
            raise ValidationError("Give value or base64.", "value")


class OptionSchema(AnswerSchema):
    """One option."""

    name = fields.String(required=True, metadata={"example": "SO_REUSEADDR"})
    level = fields.Integer(required=True)
    number = fields.Integer(required=True)
    type = fields.String(
        required=True,
        metadata={"description": "int, bool, timeval (seconds), linger, string, bytes, …", "example": "bool"},
    )
    value = fields.Raw(allow_none=True, metadata={"description": "null for one that can only be written."})
    base64 = fields.String(metadata={"description": "Instead of value, for raw bytes."})
    writable = fields.Boolean(required=True)


class OptionsSchema(AnswerSchema):
    """Every option that such a socket has and that reading does not use up."""

    options = fields.List(fields.Nested(OptionSchema()), required=True)


class QueuesSchema(AnswerSchema):
    """Bytes in the kernel's queues; null where the family does not tell."""

    unread_bytes = fields.Integer(required=True, allow_none=True)
    unsent_bytes = fields.Integer(required=True, allow_none=True)


class InfoSchema(AnswerSchema):
    """What the kernel knows about a socket."""

    fd = fields.Integer(required=True)
    inode = fields.Integer(required=True)
    cookie = fields.Integer(required=True)
    state = fields.String(required=True)
    queues = fields.Nested(QueuesSchema(), required=True)
    listening = fields.Nested(BacklogSchema(), required=True, allow_none=True)
    memory = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={"description": "SO_MEMINFO, units in the names."},
    )
    tcp_info = fields.Dict(
        keys=fields.String(),
        required=True,
        allow_none=True,
        metadata={"description": "TCP_INFO, units in the names; null for other protocols."},
    )
    poll = fields.List(
        fields.String(), required=True, metadata={"description": "poll(2) events that hold now."}
    )
    mark = fields.Integer(required=True)
    priority = fields.Integer(required=True)
    incoming_cpu = fields.Integer(required=True)
