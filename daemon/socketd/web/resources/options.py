"""Socket options by name, typed."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from socketd.web.body import ApiBlueprint
from socketd.web.caller import call, service
from socketd.web.representation import json
from socketd.web.schemas.headers import IDEMPOTENCY_KEY
from socketd.web.schemas.operations import OptionQuerySchema, OptionSchema, OptionsSchema, SetOptionSchema
from socketd.web.specification import option_value

if TYPE_CHECKING:
    from flask import Response

    from socketd.service.operations import OptionReading

_KEY: Final[dict[str, Any]] = {
    **IDEMPOTENCY_KEY,
    "description": "Of GET, too: a repeat is told the error that the first reading of SO_ERROR has used up.",
}
blueprint = ApiBlueprint("options", __name__, url_prefix="/v1/sockets", description="Socket options")


@blueprint.get("/<ref>/options")
@blueprint.response(200, OptionsSchema())
def list_options(ref: str) -> Response:
    """Read every option that such a socket has and that reading does not use up."""
    return json({"options": [option(reading) for reading in service().operations.list_options(call(), ref)]})


@blueprint.get("/<ref>/options/<name>")
@blueprint.arguments(OptionQuerySchema(), location="query")
@blueprint.response(200, OptionSchema())
def get_option(query: dict[str, Any], ref: str, name: str) -> Response:
    """Read an option (`getsockopt(2)`); the name may be `LEVEL:NUMBER`. Reading SO_ERROR clears it."""
    return json(option(service().operations.get_option(call(), ref, name, query.get("length"))))


@blueprint.put("/<ref>/options/<name>", parameters=[_KEY])
@blueprint.arguments(SetOptionSchema())
@blueprint.response(200, OptionSchema())
def set_option(body: dict[str, Any], ref: str, name: str) -> Response:
    """Set an option (`setsockopt(2)`) and show what the kernel made of it."""
    value = body["base64"] if "base64" in body else option_value(body["value"])
    return json(option(service().operations.set_option(call(), ref, name, value)))


def option(reading: OptionReading) -> dict[str, Any]:
    """Represent an option and its value."""
    known = reading.option
    found: dict[str, Any] = {
        "name": known.name,
        "level": known.level,
        "number": known.number,
        "type": known.kind,
        "writable": known.writable,
    }
    if isinstance(reading.value, bytes):
        found["base64"] = base64.b64encode(reading.value).decode()
    else:
        found["value"] = reading.value
    return found
