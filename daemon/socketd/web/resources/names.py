"""Sockets by name, declared rather than created."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from socketd.core.table import Origin
from socketd.errors import InvalidRequestError
from socketd.web.body import ApiBlueprint
from socketd.web.caller import call, service
from socketd.web.representation import one_socket
from socketd.web.schemas.base import NAME
from socketd.web.schemas.headers import NEW_SOCKET, ONE_SOCKET
from socketd.web.schemas.sockets import SocketSchema, SpecificationSchema
from socketd.web.specification import specification

if TYPE_CHECKING:
    from flask import Response

blueprint = ApiBlueprint("names", __name__, url_prefix="/v1", description="Sockets by name")


@blueprint.put("/names/<name>")
@blueprint.arguments(SpecificationSchema(), required=False)
@blueprint.response(200, SocketSchema(), description="It exists, and is that", headers=ONE_SOCKET)
@blueprint.alt_response(201, schema=SocketSchema(), description="It was made", headers=NEW_SOCKET)
def ensure_socket(body: dict[str, Any], name: str) -> Response:
    """Make sure that a socket of this name exists with this specification.

    409 if one exists that is something else, with the `members` that differ.
    """
    if not NAME.fullmatch(name):
        raise InvalidRequestError(
            f"{name[:80]!r} is not a name", member="name", hint=f"names match {NAME.pattern}"
        )
    asked = call()
    origin = Origin(asked.caller.uid, name, persist=body["persist"])
    entry, is_new = service().sockets.ensure(asked, specification(body), origin, body.get("timeout"))
    return one_socket(entry, 201 if is_new else 200)
