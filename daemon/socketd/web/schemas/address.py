"""Addresses in requests and answers: an object of the family's members, or text."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from socketd.core import address, address_text, constants, flags, protocols
from socketd.core.address import UINT32_MAX, UNSPEC, Address, Endpoint, FileAccess
from socketd.web.schemas.base import AnswerSchema, FlagList, Word, understood

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MAX_TEXT: Final = 1024
_PORT: Final = validate.Range(min=0, max=65535)
_UINT32: Final = validate.Range(min=0, max=UINT32_MAX)
_MOST_GID: Final = UINT32_MAX - 1  # the last one means "leave it" to chown(2)
_MODE: Final = re.compile(r"0?[0-7]{3}\Z")
_FILE_MEMBERS: Final = ("mode", "group")
_TEXT_EXAMPLES: Final = ["127.0.0.1:0", "[::1]:80", "/run/x.sock", "@name", "vsock:2:1234"]


class Base64(fields.Field[bytes]):
    """Bytes as base64 (RFC 4648), padded and without line breaks."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bytes:
        del attr, data, kwargs
        if not isinstance(value, str):
            raise ValidationError("Must be base64 text.")
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValidationError("Not valid base64.") from error


class _Part(Schema):
    """The members that tell one family's address; ``family`` and ``text`` of an answer may come along."""

    class Meta:
        """A member of another family is an error."""

        unknown = RAISE

    family = Word(constants.family)
    text = fields.String()


class HostSchema(_Part):
    """An inet or inet6 address, or a host and service to look up."""

    host = fields.String(allow_none=True, validate=validate.Length(max=_MAX_TEXT))
    port = fields.Integer(strict=True, validate=_PORT)
    service = fields.String(validate=validate.Length(min=1, max=_MAX_TEXT))
    flags = FlagList(flags.addrinfo_flags, load_default=0)
    flowinfo = fields.Integer(strict=True, validate=validate.Range(min=0, max=0xFFFFF), load_default=0)
    scope_id = fields.Integer(strict=True, validate=_UINT32, load_default=0)


class _Group(fields.Field[Any]):
    """A group's name or number."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str | int:
        del attr, data, kwargs
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_GID:
            return value
        raise ValidationError("Must be the name or the number of a group.")


class UnixSchema(_Part):
    """A Unix address: exactly one of path, abstract and unnamed; the rest is for a path that is bound."""

    path = fields.String()
    path_base64 = Base64()
    abstract = fields.String()
    abstract_base64 = Base64()
    unnamed = fields.Boolean()
    mode = fields.String(validate=validate.Regexp(_MODE, error='Must be text of octal digits, as "0660".'))
    group = _Group()


class VsockSchema(_Part):
    """A vsock address."""

    cid = fields.Integer(strict=True, required=True, validate=_UINT32)
    port = fields.Integer(strict=True, required=True, validate=_UINT32)


class NetlinkSchema(_Part):
    """A netlink address."""

    pid = fields.Integer(strict=True, load_default=0, validate=_UINT32)
    groups = fields.Integer(strict=True, load_default=0, validate=_UINT32)


class PacketSchema(_Part):
    """A packet address."""

    interface = fields.String(required=True)
    protocol = Word(protocols.ETHERTYPES.number, load_default=0)
    packet_type = fields.Integer(strict=True, load_default=0, validate=validate.Range(min=0, max=255))
    hardware_type = fields.Integer(strict=True, load_default=0, validate=validate.Range(min=0, max=65535))
    hardware_address = fields.String(
        load_default="", metadata={"description": "Hex, with or without colons."}
    )


class UnspecSchema(_Part):
    """No address: connecting a datagram socket to it dissolves its association."""


def _host(members: dict[str, Any]) -> Endpoint:
    host, port = members.get("host"), members.get("port")
    if members["flowinfo"] or members["scope_id"]:
        return address.inet6(host or "", port or 0, members["flowinfo"], members["scope_id"])
    if port is not None and "service" in members:
        raise ValidationError("Give port or service, not both.")
    service = members.get("service", port)
    if service is None:
        raise ValidationError("An address needs a port or a service.")
    return address.host_and_port(host, service, members["flags"])


def _unix(members: dict[str, Any]) -> Endpoint:
    given = [
        name for name in ("path", "path_base64", "abstract", "abstract_base64", "unnamed") if name in members
    ]
    if len(given) != 1:
        raise ValidationError(
            "Give exactly one of path, abstract, unnamed (or path_base64, abstract_base64)."
        )
    if given[0] == "unnamed":
        return address.unix_unnamed()
    if not given[0].startswith("path"):
        return address.unix_abstract(members[given[0]])
    made = address.unix_path(members[given[0]])
    mode, group = members.get("mode"), members.get("group")
    if mode is None and group is None:
        return made
    return replace(made, file=FileAccess(None if mode is None else int(mode, 8), group))


def _packet(members: dict[str, Any]) -> Endpoint:
    try:
        hardware = bytes.fromhex(members["hardware_address"].replace(":", ""))
    except ValueError as error:
        raise ValidationError({"hardware_address": ["Must be hex."]}) from error
    kind = members["hardware_type"]
    return address.packet(members["interface"], members["protocol"], members["packet_type"], (kind, hardware))


_UNSPEC: Final = (UnspecSchema(), lambda _: UNSPEC)
_HOST: Final = (HostSchema(), _host)
_UNIX: Final = (UnixSchema(), _unix)
_VSOCK: Final = (VsockSchema(), lambda members: address.vsock(members["cid"], members["port"]))
_NETLINK: Final = (NetlinkSchema(), lambda members: address.netlink(members["pid"], members["groups"]))
_PACKET: Final = (PacketSchema(), _packet)
_BY_FAMILY: Final = {0: _UNSPEC, 1: _UNIX, 2: _HOST, 10: _HOST, 16: _NETLINK, 17: _PACKET, 40: _VSOCK}
# The member that only one family's addresses have, in the order they are looked for.
_BY_MEMBER: Final = (
    ("path", _UNIX),
    ("abstract", _UNIX),
    ("path_base64", _UNIX),
    ("abstract_base64", _UNIX),
    ("unnamed", _UNIX),
    ("cid", _VSOCK),
    ("interface", _PACKET),
    ("pid", _NETLINK),
    ("groups", _NETLINK),
)


class AddressField(fields.Field[Any]):
    """An address to be used: gives an ``Endpoint``.

    Args:
        is_bound: It may make a socket file, and say what that shall be like.
    """

    def __init__(self, *, is_bound: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._is_bound = is_bound

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Endpoint:
        del attr, data, kwargs
        if isinstance(value, str):
            if len(value) > _MAX_TEXT:
                raise ValidationError(f"Longer than {_MAX_TEXT} characters.")
            return understood(lambda: address_text.parse(value))  # type: ignore[no-any-return]
        if not isinstance(value, dict):
            raise ValidationError("Must be text or an object.")
        schema, make = _shape(value)
        members = schema.load(value)
        made = understood(lambda: make(members))
        self._check_file(value, made)
        return made  # type: ignore[no-any-return]

    def _check_file(self, value: dict[str, Any], made: Endpoint) -> None:
        """Refuse a mode or a group where no file is made that could have it."""
        is_made = self._is_bound and isinstance(made, Address) and made.file is not None
        wrong = [] if is_made else [name for name in _FILE_MEMBERS if name in value]
        if wrong:
            raise ValidationError({name: ["Only for a path that is bound."] for name in wrong})


def _shape(value: dict[str, Any]) -> tuple[Schema, Callable[[dict[str, Any]], Endpoint]]:
    if "family" in value:
        family = understood(lambda: constants.family(value["family"]))
        if family not in _BY_FAMILY:
            raise ValidationError({"family": ["Addresses of this family cannot be written."]})
        return _BY_FAMILY[family]
    return next((shape for member, shape in _BY_MEMBER if member in value), _HOST)


class AddressSchema(AnswerSchema):
    """An address in an answer; which members it has depends on ``family``, ``text`` is always there."""

    family = fields.String(required=True, metadata={"example": "inet"})
    text = fields.String(required=True, metadata={"example": "127.0.0.1:80"})
    host = fields.String()
    port = fields.Integer()
    flowinfo = fields.Integer()
    scope_id = fields.Integer()
    path = fields.String()
    path_base64 = fields.String(metadata={"description": "Instead of path when that is not UTF-8."})
    abstract = fields.String()
    abstract_base64 = fields.String(metadata={"description": "Instead of abstract when that is not UTF-8."})
    unnamed = fields.Boolean()
    cid = fields.Integer()
    pid = fields.Integer()
    groups = fields.Integer()
    interface = fields.String()
    protocol = fields.Integer()
    packet_type = fields.Integer()
    hardware_type = fields.Integer()
    hardware_address = fields.String()


ADDRESS_DOCUMENT: Final[dict[str, Any]] = {
    "oneOf": [
        {"type": "string", "maxLength": _MAX_TEXT, "examples": _TEXT_EXAMPLES},
        {
            "type": "object",
            "description": "Members of one family: host with port or service (and flags), path (where it is "
            "bound with mode and group of the socket file, if you like), abstract, unnamed, cid with port, "
            "pid and groups, or interface.",
            "examples": [
                {"host": "127.0.0.1", "port": 0},
                {"service": "3490", "flags": ["AI_PASSIVE"]},
                {"path": "/run/x.sock", "mode": "0660", "group": "www-data"},
            ],
        },
    ]
}
"""How the two forms of an address stand in openapi.yaml."""
