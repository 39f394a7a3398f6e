"""``getaddrinfo(3)`` over HTTP."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from socketd.core import constants
from socketd.core.resolve import Question
from socketd.web.body import ApiBlueprint
from socketd.web.caller import call, service
from socketd.web.representation import address, json
from socketd.web.schemas.host import AddrinfoQuerySchema, AddrinfoSchema
from socketd.web.specification import protocol

if TYPE_CHECKING:
    from flask import Response

blueprint = ApiBlueprint("resolver", __name__, url_prefix="/v1", description="Names and addresses")


@blueprint.get("/addrinfo")
@blueprint.arguments(AddrinfoQuerySchema(), location="query")
@blueprint.response(200, AddrinfoSchema())
def get_addrinfo(query: dict[str, Any]) -> Response:
    """Look up a host and a service (`getaddrinfo(3)`); flags by name, as `AI_PASSIVE`."""
    asked = call()
    family, kind = query["family"], query["type"]
    number = protocol(query["protocol"], family or socket.AF_INET, kind)
    found = service().host.addrinfo(
        asked, Question(query.get("host"), query.get("service"), family, kind, number, query["flags"])
    )
    return json(
        {
            "canonical_name": next((info.canonical_name for info in found if info.canonical_name), None),
            "results": [
                {
                    "family": constants.family_name(info.family),
                    "type": constants.type_name(info.type),
                    "protocol": constants.protocol_name(info.protocol, info.family, info.type),
                    "address": address(info.address),
                }
                for info in found
            ],
        }
    )
