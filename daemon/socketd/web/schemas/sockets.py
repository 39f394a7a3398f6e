"""Shapes of what creates, lists and represents held sockets."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from socketd.core import constants, flags
from socketd.core.owner import Owner
from socketd.core.saving import BOOT
from socketd.errors import InvalidRequestError
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
_NOT_SAVED: Final = frozenset({"name", "count", "timeout", "persist"})


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


class _PersistField(fields.Raw):
    """``false`` or ``"boot"``; not ``0``, which equals the first."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=validate.OneOf((False, BOOT)), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        del attr, data, kwargs
        if value is not False and value != BOOT:
            raise ValidationError('Must be false or "boot".')
        return value


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
    bind = AddressField(is_bound=True, metadata={"example": "127.0.0.1:0"})
    connect = AddressField(metadata={"example": "127.0.0.1:80"})
    listen = _ListenField(ListenSchema(), allow_none=True)
    timeout = timeout_field()
    persist = _PersistField(
        metadata={
            "description": "boot: save this, and make the socket again whenever the daemon starts and does "
            "not hold it; for what has a name and does not connect. Left out: as it is; false for a new one."
        }
    )

    @validates_schema
    def check_calls(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse both at once: a listening socket cannot connect (tcp(7))."""
        if data.get("connect") is not None and data.get("listen") is not None:
            raise ValidationError("Give connect or listen, not both.", "listen")

    @post_load(pass_original=True)
    def keep_words(self, data: dict[str, Any], original: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Hand on what was asked in the words it was asked in: those are what is saved."""
        data["document"] = {name: value for name, value in original.items() if name not in _NOT_SAVED}
        return data


class CreateSchema(SpecificationSchema):
    """Body of ``POST /v1/sockets``."""

    name = name_field(allow_none=True)
    count = whole("Make so many alike, all or none; names become NAME.0, NAME.1, …", 1, MAX_COUNT)

    @validates_schema
    def check_persist(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse to promise what has no name, or many."""
        if data.get("persist") != BOOT:
            return
        if data.get("name") is None:
            raise ValidationError("A socket that persists needs a name.", "name")
        if "count" in data:
            raise ValidationError("Only one socket at a time can persist.", "count")


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

    address = AddressField(is_bound=True, required=True)


class ConnectSchema(StrictSchema):
    """Body of ``POST /v1/sockets/{ref}/connect``."""

    address = AddressField(required=True)
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


def _owner(word: str | int) -> Owner:
    try:
        return Owner.parse(str(word))
    except ValueError as error:
        raise InvalidRequestError(str(error)) from None


class ListSchema(FieldsSchema):
    """Query of ``GET /v1/sockets``."""

    family = Word(constants.family)
    type = Word(constants.socket_type)
    state = fields.String(validate=validate.OneOf(STATES))
    name = fields.String()
    port = query_number("The local port.", 0, 2**32 - 1)
    owner = Word(
        _owner,
        metadata={"description": "A uid, or token:NAME or certificate:NAME.", "example": "1000"},
    )
    limit = query_number("At most so many; more come with next_cursor.", 1, 10_000, load_default=1000)
    cursor = query_number("next_cursor of the page before.")


class CloseSchema(StrictSchema):
    """Query of ``DELETE /v1/sockets/{ref}``."""

    shutdown = fields.Boolean(
        load_default=False, metadata={"description": "End it for every duplicate that a program took, too."}
    )


class OwnerSchema(AnswerSchema):
    """Who created or gave a socket: a user, a token or a client certificate; the others are null."""

    uid = fields.Integer(required=True, allow_none=True)
    user = fields.String(
        required=True, allow_none=True, metadata={"description": "The uid's name, if it has one."}
    )
    token = fields.String(required=True, allow_none=True)
    certificate = fields.String(required=True, allow_none=True)


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
    kept = fields.String(
        validate=validate.OneOf(("daemon", "keeper", "supervisor", "systemd")),
        metadata={
            "description": "What it outlives. daemon: nothing, it has the only one; keeper: the daemon, as "
            "the keeper has a copy; supervisor, systemd: both of them, as `socketd run` or systemd has one."
        },
    )
    persist = fields.Raw(
        validate=validate.OneOf((False, BOOT)),
        metadata={"description": "boot: its specification is made again after a reboot."},
    )
    taken = fields.Integer(metadata={"description": "How often its descriptor was handed out."})
    taken_by = fields.Nested(TakerSchema(), allow_none=True)
    proc = fields.Nested(ProcSchema())


class SocketsSchema(AnswerSchema):
    """Several sockets."""

    sockets = fields.List(fields.Nested(SocketSchema()), required=True)


class PageSchema(SocketsSchema):
    """A page of a listing."""

    next_cursor = fields.String(required=True, allow_none=True)
