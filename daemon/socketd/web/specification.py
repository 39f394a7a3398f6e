"""From a loaded request body to the specification of a socket."""

from __future__ import annotations

import base64
import binascii
import socket
from typing import TYPE_CHECKING, Any, Final

from marshmallow import ValidationError

from socketd.core import constants, options
from socketd.core.address import Address
from socketd.core.creation import Specification
from socketd.errors import InvalidRequestError
from socketd.web.schemas.sockets import SpecificationSchema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from socketd.core.options import Option

_SAVED: Final = SpecificationSchema()


def specification(body: Mapping[str, Any]) -> Specification:
    """Read what a new socket shall be.

    Raises:
        InvalidRequestError: A protocol or an option is unknown.
    """
    listen = body.get("listen")
    return Specification(
        family=body.get("family"),
        type=body["type"],
        protocol=protocol(body["protocol"], _family(body), body["type"]),
        options=tuple(_option(name, value) for name, value in body.get("options", {}).items()),
        bind=body.get("bind"),
        connect=body.get("connect"),
        backlog=None if listen is None else listen["backlog"],
    )


def read(document: Mapping[str, Any]) -> Specification:
    """Read a specification that was saved: a request's own words, by today's schema.

    Raises:
        InvalidRequestError: They cannot be meant, or not any more.
    """
    try:
        return specification(_SAVED.load(document))
    except ValidationError as error:
        raise InvalidRequestError(f"the saved specification is wrong: {error}") from error


def protocol(value: object, family: int, kind: int) -> int:
    """Read a protocol, whose names depend on the family."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidRequestError("protocol must be a name or a number", member="protocol")
    return constants.protocol(value, family, kind)


def _family(body: Mapping[str, Any]) -> int:
    """Tell the family, as far as the names of protocols need it."""
    if body.get("family") is not None:
        return int(body["family"])
    addresses = (body.get("bind"), body.get("connect"))
    return next((each.family for each in addresses if isinstance(each, Address)), socket.AF_INET)


def _option(name: str, value: object) -> tuple[Option, object]:
    try:
        return options.lookup(name), option_value(value)
    except InvalidRequestError as error:
        error.member = f"options.{name}"
        raise


def option_value(value: object) -> object:
    """Read ``{"base64": …}`` as the bytes for the kernel, and leave every other value as it is."""
    if not isinstance(value, dict) or set(value) != {"base64"} or not isinstance(value["base64"], str):
        return value
    try:
        return base64.b64decode(value["base64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError("not valid base64", member="base64") from error
