"""Shapes of sending, receiving and polling."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from socketd.core import control, flags
from socketd.web.schemas.address import AddressField, AddressSchema, Base64
from socketd.web.schemas.base import (
    AnswerSchema,
    FlagList,
    StrictSchema,
    Word,
    query_number,
    timeout_field,
    understood,
    whole,
)
from socketd.web.schemas.passing import References
from socketd.web.schemas.problem import ProblemSchema

DEFAULT_SIZE: Final = 65536
MAX_MESSAGES: Final = 65536
ENCODINGS: Final = ("auto", "text", "base64")
_SIZE: Final = "At most so many bytes; of a message socket, of each message."
_MAX: Final = "So many messages, as far as they are there already."
_CONTROL_SIZE: Final = (
    "Room for control messages of each message, in bytes as msg_controllen of recvmsg(2) counts them: 16 and "
    "what is in it for each, rounded up to 8. Descriptors that come (SCM_RIGHTS) are then held. JSON only."
)


def _as_given(value: str | int) -> str | int:
    return value


class ControlSchema(StrictSchema):
    """A control message (cmsg(3)) to send with a message."""

    level = Word(
        control.level,
        metadata={"description": "Where the type is a number, its level.", "example": "IPPROTO_IP"},
    )
    type = Word(
        _as_given,
        required=True,
        metadata={"description": "A name, which tells its level too, or a number.", "example": "IP_TTL"},
    )
    base64 = Base64(
        metadata={"description": "As the kernel has it, in the byte order of the daemon's host: C structs."}
    )
    sockets = References(
        validate=validate.Length(min=1),
        metadata={
            "type": "array",
            "items": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            "description": "Of SCM_RIGHTS: numbers or names of held sockets. Who receives the message gets "
            "their descriptors, with O_NONBLOCK as it is.",
            "example": [64, "web"],
        },
    )
    release = References(
        metadata={
            "type": "array",
            "items": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            "description": "Those of the sockets that the daemon forgets in the step that sends them: who "
            "receives them has them then.",
        },
    )

    @validates_schema
    def check_one(self, data: dict[str, Any], **_: Any) -> None:
        """Sockets take the place of bytes."""
        if "sockets" in data and "base64" in data:
            raise ValidationError("Give sockets or base64, not both.")

    @post_load
    def number(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Turn names into numbers: that of the type needs the level."""
        level, kind = understood(lambda: control.kind(data.get("level"), data["type"]))
        return {**data, "level": level, "type": kind}


class _Payload(StrictSchema):
    """Bytes as text or as base64."""

    text = fields.String(metadata={"description": "Sent in UTF-8.", "example": "hello"})
    base64 = Base64(metadata={"description": "Any bytes."})
    to = AddressField()
    control = fields.List(
        fields.Nested(ControlSchema()),
        metadata={"description": "Control messages that go with it, with the first byte of a stream's."},
    )

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
        if "messages" in data and {"text", "base64", "to", "control"} & set(data):
            raise ValidationError("Give messages, or text, base64, to and control.", "messages")


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

    size = whole(_SIZE)
    max = whole(_MAX, 1, MAX_MESSAGES)
    control_size = whole(_CONTROL_SIZE, 0, control.MOST_BYTES)
    timeout = timeout_field()
    flags = FlagList(flags.recv_flags, metadata={"example": ["MSG_PEEK"]})
    encoding = fields.String(
        validate=validate.OneOf(ENCODINGS),
        metadata={"description": "auto: text when the bytes are UTF-8, else base64. Only for JSON answers."},
    )


class ReceiveQuerySchema(ReceiveSchema):
    """The same in a query."""

    size = query_number(_SIZE)
    max = query_number(_MAX, 1, MAX_MESSAGES)
    control_size = query_number(_CONTROL_SIZE, 0, control.MOST_BYTES)


class IncomingControlSchema(AnswerSchema):
    """A control message that came."""

    level = fields.Raw(
        required=True,
        metadata={"description": "A name, or the number of one without.", "example": "SOL_SOCKET"},
    )
    type = fields.Raw(required=True, metadata={"description": "Likewise.", "example": "SCM_RIGHTS"})
    numbers = fields.List(
        fields.Integer(), required=True, metadata={"description": "Level and type.", "example": [1, 1]}
    )
    base64 = fields.String(
        metadata={"description": "As the kernel has it, in the byte order of the daemon's host."}
    )
    sockets = fields.List(
        fields.Integer(),
        metadata={"description": "Of SCM_RIGHTS, instead of bytes: what came, as held sockets, in order."},
    )
    new = fields.List(
        fields.Integer(), metadata={"description": "Those of them that were not held before; they are yours."}
    )
    blocking = fields.List(
        fields.Integer(),
        metadata={"description": "Those of them that came without O_NONBLOCK; 'take' can leave it so."},
    )


class IncomingSchema(AnswerSchema):
    """One message that came, or some bytes of a stream."""

    text = fields.String()
    base64 = fields.String()
    size = fields.Integer(required=True, metadata={"description": "Bytes given here."})
    length = fields.Integer(required=True, metadata={"description": "Bytes the message had."})
    source = fields.Nested(AddressSchema(), required=True, allow_none=True, data_key="from")
    flags = fields.List(fields.String(), required=True, metadata={"example": ["MSG_TRUNC"]})
    control = fields.List(
        fields.Nested(IncomingControlSchema()),
        metadata={"description": "Control messages, where control_size asked for them."},
    )
    closed = fields.Integer(
        metadata={
            "description": "Beside control: descriptors that came and are not held, for want of room in "
            "control_size, or because they are no sockets or not granted. flags has MSG_CTRUNC then."
        }
    )


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
