"""Shapes of what creates, lists and represents held sockets."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import ValidationError, fields, validate, validates_schema

from socketd.core import constants, flags
from socketd.inspection import STATES
from socketd.web.schemas.address import AddressField, AddressSchema
from socketd.web.schemas.base import (
    AnswerSchema,
    StrictSchema,
    Word,
    name_field,
    query_number,
    timeout_field,
    whole,
)

MAX_BACKLOG: Final = 2**31 - 1
DEFAULT_BACKLOG: Final = 128
MAX_COUNT: Final = 1_000_000


class ListenSchema(StrictSchema):
    """Body of ``POST /v1/sockets/{ref}/listen``."""

    backlog = whole(
        "Connections queued; the kernel caps it at net.core.somaxconn.",
        0,
        MAX_BACKLOG,
        load_default=DEFAULT_BACKLOG,
    )


class _ListenField(fields.Nested):
    """``true`` for the default backlog, or an object."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, partial: Any = None, **kwargs: Any
    ) -> Any:
        if isinstance(value, bool):
            return {"backlog": DEFAULT_BACKLOG} if value else None
        return super()._deserialize(value, attr, data, partial=partial, **kwargs)


class SpecificationSchema(StrictSchema):
    """What a socket shall be; body of ``PUT /v1/names/{name}``."""

    family = Word(
        constants.family,
        metadata={"description": "Left out: as the addresses say, else inet.", "example": "inet"},
    )
    type = Word(constants.socket_type, load_default=1, metadata={"example": "stream"})
    protocol = fields.Raw(
        load_default=0,
        metadata={
            "description": "A name of the family's (tcp, mptcp, route, …) or a number; 0 is the default.",
            "example": "tcp",
        },
    )
    options = fields.Dict(
        keys=fields.String(),
        metadata={
            "description": "Socket options by name, set before bind.",
            "example": {"SO_REUSEADDR": True},
        },
    )
    bind = AddressField(metadata={"example": "127.0.0.1:0"})
    connect = AddressField(metadata={"example": "127.0.0.1:80"})
    listen = _ListenField(ListenSchema(), allow_none=True)
    timeout = timeout_field()
    persist = fields.Boolean(
        load_default=False, validate=validate.OneOf((False,), error="Not available yet.")
    )

    @validates_schema
    def check_calls(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse both at once: a listening socket cannot connect (tcp(7))."""
        if data.get("connect") is not None and data.get("listen") is not None:
            raise ValidationError("Give connect or listen, not both.", "listen")


class CreateSchema(SpecificationSchema):
    """Body of ``POST /v1/sockets``."""

    name = name_field(allow_none=True)
    count = whole("Make so many alike, all or none; names become NAME.0, NAME.1, …", 1, MAX_COUNT)


class PairSchema(StrictSchema):
    """Body of ``POST /v1/socketpairs``."""

    family = Word(constants.family, load_default=1, metadata={"example": "unix"})
    type = Word(constants.socket_type, load_default=1, metadata={"example": "stream"})
    protocol = fields.Raw(load_default=0)
    names = fields.List(name_field(allow_none=True), validate=validate.Length(equal=2))


class AcceptSchema(StrictSchema):
    """Body of ``POST /v1/sockets/{ref}/accept``."""

    timeout = timeout_field()
    max = whole("Take up to so many connections that are there.", 1, 65536, load_default=1)
    name = name_field(allow_none=True)


class BindSchema(StrictSchema):
    """Body of ``POST /v1/sockets/{ref}/bind``."""

    address = AddressField(required=True)


class ConnectSchema(BindSchema):
    """Body of ``POST /v1/sockets/{ref}/connect``."""

    timeout = timeout_field()


class ShutdownSchema(StrictSchema):
    """Body of ``POST /v1/sockets/{ref}/shutdown``."""

    how = Word(
        flags.shutdown_how,
        required=True,
        metadata={"description": "read, write or both (or SHUT_RD, …).", "example": "write"},
    )


class FieldsSchema(StrictSchema):
    """Query of one socket."""

    fields_ = fields.String(
        data_key="fields",
        metadata={"description": "Only these members, comma-separated.", "example": "fd,inode"},
    )


class ListSchema(FieldsSchema):
    """Query of ``GET /v1/sockets``."""

    family = Word(constants.family)
    type = Word(constants.socket_type)
    state = fields.String(validate=validate.OneOf(STATES))
    name = fields.String()
    port = query_number("The local port.", 0, 2**32 - 1)
    owner = query_number("A uid.", 0, 2**32 - 1)
    limit = query_number("At most so many; more come with next_cursor.", 1, 10_000, load_default=1000)
    cursor = query_number("next_cursor of the page before.")


class CloseSchema(StrictSchema):
    """Query of ``DELETE /v1/sockets/{ref}``."""

    shutdown = fields.Boolean(
        load_default=False, metadata={"description": "End it for every duplicate that a program took, too."}
    )


class OwnerSchema(AnswerSchema):
    """Who created or gave a socket."""

    uid = fields.Integer(required=True)
    user = fields.String(required=True, allow_none=True)


class BacklogSchema(AnswerSchema):
    """A listener's queue; null where the family does not tell."""

    backlog = fields.Integer(required=True, allow_none=True)
    pending = fields.Integer(required=True, allow_none=True)


class ProcSchema(AnswerSchema):
    """Where the operating system shows the same socket."""

    link = fields.String(required=True, metadata={"example": "socket:[84211]"})
    path = fields.String(required=True, metadata={"example": "/proc/4242/fd/64"})
    fdinfo = fields.String(required=True)


class TakerSchema(AnswerSchema):
    """Who took the descriptor last."""

    uid = fields.Integer(required=True)
    pid = fields.Integer(required=True, allow_none=True)
    at = fields.String(required=True, metadata={"format": "date-time"})


class SocketSchema(AnswerSchema):
    """A held socket; everything but name, owner, times and counts is asked of the kernel."""

    fd = fields.Integer(metadata={"description": "Descriptor number in the daemon's process.", "example": 64})
    pid = fields.Integer(metadata={"description": "That process."})
    inode = fields.Integer()
    cookie = fields.Integer(metadata={"description": "SO_COOKIE, never reused; the ETag."})
    name = fields.String(allow_none=True)
    owner = fields.Nested(OwnerSchema())
    family = fields.String()
    type = fields.String()
    protocol = fields.String()
    state = fields.String(validate=validate.OneOf(STATES))
    local = fields.Nested(AddressSchema(), allow_none=True)
    peer = fields.Nested(AddressSchema(), allow_none=True)
    listening = fields.Nested(BacklogSchema(), allow_none=True)
    accepted_from = fields.Integer(allow_none=True, metadata={"description": "Number of the listener."})
    created_at = fields.String(metadata={"format": "date-time"})
    kept = fields.String(metadata={"description": "How safe it is; daemon: as long as the daemon runs."})
    persist = fields.Boolean()
    taken = fields.Integer(metadata={"description": "How often its descriptor was handed out."})
    taken_by = fields.Nested(TakerSchema(), allow_none=True)
    proc = fields.Nested(ProcSchema())


class SocketsSchema(AnswerSchema):
    """Several sockets."""

    sockets = fields.List(fields.Nested(SocketSchema()), required=True)


class PageSchema(SocketsSchema):
    """A page of a listing."""

    next_cursor = fields.String(required=True, allow_none=True)
