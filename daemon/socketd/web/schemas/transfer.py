"""Shapes of sending, receiving and polling."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import ValidationError, fields, validate, validates_schema

from socketd.core import flags
from socketd.web.schemas.address import AddressField, AddressSchema, Base64
from socketd.web.schemas.base import AnswerSchema, FlagList, StrictSchema, query_number, timeout_field, whole
from socketd.web.schemas.problem import ProblemSchema

DEFAULT_SIZE: Final = 65536
MAX_MESSAGES: Final = 65536
ENCODINGS: Final = ("auto", "text", "base64")


class _Payload(StrictSchema):
    """Bytes as text or as base64."""

    text = fields.String(metadata={"description": "Sent in UTF-8.", "example": "hello"})
    base64 = Base64(metadata={"description": "Any bytes."})
    to = AddressField()

    @validates_schema
    def check_one(self, data: dict[str, Any], **_: Any) -> None:
        """Text and base64 exclude each other."""
        if "text" in data and "base64" in data:
            raise ValidationError("Give text or base64, not both.")


class MessageSchema(_Payload):
    """One message to send; neither text nor base64 is an empty one."""


class SendSchema(_Payload):
    """JSON body of ``POST /v1/sockets/{ref}/send``: one message, or several."""

    messages = fields.List(fields.Nested(MessageSchema()), validate=validate.Length(min=1, max=MAX_MESSAGES))
    flags = FlagList(flags.send_flags, load_default=0, metadata={"example": ["MSG_OOB"]})
    timeout = timeout_field()

    @validates_schema
    def check_forms(self, data: dict[str, Any], **_: Any) -> None:
        """Either messages, or the members of one."""
        if "messages" in data and {"text", "base64", "to"} & set(data):
            raise ValidationError("Give messages, or text, base64 and to.", "messages")


class SendQuerySchema(StrictSchema):
    """Query of a raw send."""

    to = AddressField(metadata={"example": "127.0.0.1:69"})
    flags = FlagList(flags.send_flags)
    timeout = timeout_field()


class SentSchema(AnswerSchema):
    """How much went."""

    sent = fields.Integer(required=True, metadata={"description": "Bytes."})
    messages = fields.Integer(required=True, metadata={"description": "Messages that went whole."})
    complete = fields.Boolean(required=True)
    error = fields.Nested(ProblemSchema(), metadata={"description": "Why not everything went."})


class ReceiveSchema(StrictSchema):
    """What ``POST /v1/sockets/{ref}/recv`` asks for, in the body or in the query."""

    size = whole("At most so many bytes; of a message socket, of each message.")
    max = whole("So many messages, as far as they are there already.", 1, MAX_MESSAGES)
    timeout = timeout_field()
    flags = FlagList(flags.recv_flags, metadata={"example": ["MSG_PEEK"]})
    encoding = fields.String(
        validate=validate.OneOf(ENCODINGS),
        metadata={"description": "auto: text when the bytes are UTF-8, else base64. Only for JSON answers."},
    )


class ReceiveQuerySchema(ReceiveSchema):
    """The same in a query."""

    size = query_number("At most so many bytes; of a message socket, of each message.")
    max = query_number("So many messages, as far as they are there already.", 1, MAX_MESSAGES)


class IncomingSchema(AnswerSchema):
    """One message that came, or some bytes of a stream."""

    text = fields.String()
    base64 = fields.String()
    size = fields.Integer(required=True, metadata={"description": "Bytes given here."})
    length = fields.Integer(required=True, metadata={"description": "Bytes the message had."})
    source = fields.Nested(AddressSchema(), required=True, allow_none=True, data_key="from")
    flags = fields.List(fields.String(), required=True, metadata={"example": ["MSG_TRUNC"]})


class ReceivedSchema(AnswerSchema):
    """What was received."""

    messages = fields.List(fields.Nested(IncomingSchema()), required=True)
    eof = fields.Boolean(required=True, metadata={"description": "The peer has ended its direction."})


class PollEntrySchema(StrictSchema):
    """One socket to poll."""

    socket = fields.Raw(
        required=True, metadata={"description": "A descriptor number or a name.", "example": 64}
    )
    events = FlagList(flags.poll_events, load_default=0x001, metadata={"example": ["POLLIN"]})


class PollSchema(StrictSchema):
    """Body of ``POST /v1/poll``."""

    sockets = fields.List(fields.Nested(PollEntrySchema()), required=True)
    timeout = timeout_field()


class ReadySchema(AnswerSchema):
    """One socket that is ready."""

    socket = fields.Raw(required=True, metadata={"description": "As it was asked for."})
    fd = fields.Integer(required=True, allow_none=True)
    events = fields.List(fields.String(), required=True)


class PolledSchema(AnswerSchema):
    """Those that are ready; empty when the time was over."""

    ready = fields.List(fields.Nested(ReadySchema()), required=True)
