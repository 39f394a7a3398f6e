"""Shapes of what belongs to no held socket: process, resolver, arithmetic, the service itself."""

from __future__ import annotations

from marshmallow import fields, validate

from socketd.core import constants, flags
from socketd.web.schemas.address import AddressSchema
from socketd.web.schemas.base import AnswerSchema, FlagList, StrictSchema, Word


class ProcessSchema(AnswerSchema):
    """The daemon's process, from /proc."""

    pid = fields.Integer(required=True)
    ppid = fields.Integer(required=True)
    uid = fields.Integer(required=True)
    gid = fields.Integer(required=True)
    command = fields.List(fields.String(), required=True)
    started_at = fields.String(required=True, metadata={"format": "date-time"})
    uptime_s = fields.Float(required=True)
    threads = fields.Integer(required=True)
    rss_bytes = fields.Integer(required=True)
    descriptors = fields.Nested(
        AnswerSchema.from_dict(
            {
                "open": fields.Integer(required=True),
                "soft_limit": fields.Integer(required=True),
                "hard_limit": fields.Integer(required=True),
            },
            name="DescriptorCounts",
        )(),
        required=True,
    )
    byte_order = fields.String(required=True, validate=validate.OneOf(("little", "big")))


class HeldSchema(AnswerSchema):
    """A held socket in the descriptor table."""

    name = fields.String(required=True, allow_none=True)
    family = fields.String(required=True)
    type = fields.String(required=True)
    protocol = fields.String(required=True)
    state = fields.String(required=True)
    local = fields.String(required=True, allow_none=True)
    peer = fields.String(required=True, allow_none=True)


class DescriptorSchema(AnswerSchema):
    """One line of the descriptor table."""

    fd = fields.Integer(required=True)
    link = fields.String(required=True, metadata={"example": "socket:[84211]"})
    socket = fields.Nested(HeldSchema(), required=True, allow_none=True)


class DescriptorsSchema(AnswerSchema):
    """The daemon's descriptor table."""

    pid = fields.Integer(required=True)
    descriptors = fields.List(fields.Nested(DescriptorSchema()), required=True)


class FdInfoSchema(AnswerSchema):
    """One descriptor: where it leads, and its fdinfo."""

    fd = fields.Integer(required=True)
    link = fields.String(required=True)
    pos = fields.Integer(required=True)
    flags = fields.String(
        required=True, metadata={"description": "Octal, as the kernel writes it.", "example": "02000002"}
    )
    flag_names = fields.List(fields.String(), required=True)
    mnt_id = fields.Integer(required=True)
    ino = fields.Integer(required=True, allow_none=True)
    text = fields.String(required=True, metadata={"description": "The file as it is."})


class AddrinfoQuerySchema(StrictSchema):
    """Query of ``GET /v1/addrinfo``."""

    host = fields.String(metadata={"example": "localhost"})
    service = fields.String(metadata={"example": "3490"})
    family = Word(constants.family, load_default=0)
    type = Word(constants.socket_type, load_default=0)
    protocol = fields.String(load_default="0")
    flags = FlagList(flags.addrinfo_flags, load_default=0, metadata={"example": "AI_PASSIVE"})


class AddressInfoSchema(AnswerSchema):
    """One answer of getaddrinfo(3)."""

    family = fields.String(required=True)
    type = fields.String(required=True)
    protocol = fields.String(required=True)
    address = fields.Nested(AddressSchema(), required=True)


class AddrinfoSchema(AnswerSchema):
    """All answers, in the order to try them."""

    canonical_name = fields.String(required=True, allow_none=True)
    results = fields.List(fields.Nested(AddressInfoSchema()), required=True)


class ByteOrderSchema(AnswerSchema):
    """A number in host and in network byte order."""

    function = fields.String(required=True, metadata={"example": "htons"})
    width_bits = fields.Integer(required=True)
    value = fields.Integer(required=True, metadata={"example": 3490})
    result = fields.Integer(required=True)
    value_hex = fields.String(required=True)
    result_hex = fields.String(required=True)
    host_bytes = fields.List(
        fields.Integer(), required=True, metadata={"description": "Lowest address first."}
    )
    network_bytes = fields.List(
        fields.Integer(), required=True, metadata={"description": "First on the wire first."}
    )
    host_order = fields.String(required=True)


class BinarySchema(AnswerSchema):
    """The rows of the ``&`` that makes a network of an address."""

    address = fields.String(required=True)
    mask = fields.String(required=True)
    network = fields.String(required=True)


class NetworkSchema(AnswerSchema):
    """An address within its network."""

    address = fields.String(required=True)
    version = fields.Integer(required=True)
    prefix = fields.Integer(required=True)
    mask = fields.String(required=True)
    wildcard = fields.String(required=True)
    network = fields.String(required=True)
    broadcast = fields.String(required=True, allow_none=True)
    first_host = fields.String(required=True)
    last_host = fields.String(required=True)
    host_count = fields.Integer(
        required=True, metadata={"description": "Up to 2**128 - 1; a JSON integer all the same."}
    )
    address_count = fields.Integer(required=True)
    kinds = fields.List(
        fields.String(), required=True, metadata={"description": "private, global, loopback, …"}
    )
    binary = fields.Nested(BinarySchema(), required=True)


class CallerSchema(AnswerSchema):
    """Who the daemon takes you for."""

    uid = fields.Integer(required=True, allow_none=True)
    user = fields.String(required=True, allow_none=True)
    token = fields.String(required=True, allow_none=True)
    certificate = fields.String(required=True, allow_none=True)
    gid = fields.Integer(required=True, allow_none=True)
    pid = fields.Integer(required=True, allow_none=True)
    via = fields.String(required=True)


class ServiceSchema(AnswerSchema):
    """The service document."""

    service = fields.String(required=True)
    version = fields.String(required=True)
    api_versions = fields.List(fields.String(), required=True)
    extensions = fields.List(fields.String(), required=True)
    pid = fields.Integer(required=True)
    uptime_s = fields.Float(required=True)
    sockets = fields.Integer(required=True, metadata={"description": "Yours (for root: all)."})
    keeper = fields.String(
        required=True,
        validate=validate.OneOf(("none", "up", "away")),
        metadata={"description": "Who holds second copies of held sockets; away: it is being waited for."},
    )
    limits = fields.Dict(keys=fields.String(), required=True)
    links = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    caller = fields.Nested(CallerSchema(), required=True)


class HealthSchema(AnswerSchema):
    """Whether the daemon answers."""

    status = fields.String(required=True, metadata={"example": "ok"})
