"""Shapes of the journal of changes, as it is followed."""

from __future__ import annotations

from marshmallow import fields, validate

from socketd.service import changes
from socketd.web.schemas.address import AddressSchema
from socketd.web.schemas.base import AnswerSchema, StrictSchema, query_number
from socketd.web.schemas.sockets import OwnerSchema

_KINDS = (*changes.KINDS, changes.SENT)
_EVENTS = (*changes.KINDS, changes.REFUSED)


class EventsQuerySchema(StrictSchema):
    """Query of ``GET /v1/events``."""

    after = query_number(
        "The sequence of the last event that you know; 0 begins with the oldest that is kept. "
        "Left out: only what comes. `Last-Event-ID` is stronger.",
        0,
        2**63 - 1,
    )
    timeout = fields.Float(
        allow_nan=False,
        validate=validate.Range(min=0),
        metadata={
            "description": "Seconds after which the stream ends; 0 gives what is there. "
            "Left out: it goes on until you hang up.",
            "example": 0,
        },
    )


class EventCallerSchema(OwnerSchema):
    """Who asked for a change."""

    pid = fields.Integer(required=True, allow_none=True)
    via = fields.String(required=True, metadata={"description": "unix, tcp, or boot."})


class EventSocketSchema(AnswerSchema):
    """The socket that changed."""

    fd = fields.Integer(required=True)
    inode = fields.Integer(required=True)
    cookie = fields.Integer(required=True)
    name = fields.String(required=True, allow_none=True)
    owner = fields.Nested(OwnerSchema(), required=True)
    family = fields.String(required=True)
    type = fields.String(required=True)
    protocol = fields.String(required=True)


class EventForwardSchema(AnswerSchema):
    """One socket's half of a forward."""

    id = fields.String(required=True)
    other = fields.Integer(
        required=True, metadata={"description": "Descriptor number of the socket it is joined with."}
    )
    delivered_bytes = fields.Integer(
        required=True, metadata={"description": "What this socket was given of the other's."}
    )
    lost_bytes = fields.Integer(
        required=True,
        metadata={"description": "Taken from the other one for it, and not to be delivered any more."},
    )
    error = fields.String(
        required=True, allow_none=True, metadata={"description": "The errno's name that ended the forward."}
    )


class EventSchema(AnswerSchema):
    """A line of the stream: a change, or (with `sequence` and few others) `gap` or `heartbeat`."""

    sequence = fields.Integer(
        required=True, metadata={"description": "Rises; never given again. For `after`."}
    )
    time = fields.String(required=True, metadata={"format": "date-time"})
    event = fields.String(required=True, validate=validate.OneOf(_EVENTS))
    change = fields.String(
        required=True,
        validate=validate.OneOf(_KINDS),
        metadata={"description": "What happened, or, where `event` is `refused`, what was asked for."},
    )
    result = fields.String(required=True, metadata={"description": "ok, or an errno's name."})
    caller = fields.Nested(
        EventCallerSchema(),
        required=True,
        allow_none=True,
        metadata={"description": "Null: the daemon itself."},
    )
    socket = fields.Nested(
        EventSocketSchema(),
        required=True,
        allow_none=True,
        metadata={"description": "Null: there is none, or none any more."},
    )
    local = fields.Nested(AddressSchema(), required=True, allow_none=True)
    peer = fields.Nested(AddressSchema(), required=True, allow_none=True)
    option = fields.String(required=True, allow_none=True)
    how = fields.String(required=True, allow_none=True)
    forward = fields.Nested(EventForwardSchema(), required=True, allow_none=True)
    reference = fields.String(
        required=True, allow_none=True, metadata={"description": "What a refused request called the socket."}
    )
    asked = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The address, option or other socket that was refused."},
    )
    reason = fields.String(
        required=True, allow_none=True, metadata={"description": "What the policy does not grant."}
    )
    request_id = fields.String(required=True, allow_none=True)
