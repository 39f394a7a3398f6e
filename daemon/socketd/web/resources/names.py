"""Sockets by name, declared rather than created, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from socketd.core.naming import NAME
from socketd.errors import InvalidRequestError
from socketd.service.boot import Declaration
from socketd.web.body import ApiBlueprint
from socketd.web.caller import call, service
from socketd.web.errors import problem
from socketd.web.representation import json, nothing, one_socket, owner, timestamp
from socketd.web.schemas.headers import NEW_SOCKET, ONE_SOCKET
from socketd.web.schemas.names import NamedSchema, NamesSchema
from socketd.web.schemas.sockets import SocketSchema, SpecificationSchema
from socketd.web.specification import specification

if TYPE_CHECKING:
    from flask import Response

    from socketd.service.names import Named

blueprint = ApiBlueprint("names", __name__, url_prefix="/v1", description="Sockets by name")


@blueprint.get("/names")
@blueprint.response(200, NamesSchema())
def list_names() -> Response:
    """List your names (root: everybody's): of held sockets, and of those that persist and are not there."""
    return json({"names": [_represent(named) for named in service().names.all(call())]})


@blueprint.get("/names/<name>")
@blueprint.response(200, NamedSchema())
def show_name(name: str) -> Response:
    """Show a name: whether its socket persists and is there, and if not, why and when it is tried again."""
    return json(_represent(service().names.get(call(), name)))


@blueprint.put("/names/<name>")
@blueprint.arguments(SpecificationSchema(), required=False)
@blueprint.response(200, SocketSchema(), description="It exists, and is that", headers=ONE_SOCKET)
@blueprint.alt_response(201, schema=SocketSchema(), description="It was made", headers=NEW_SOCKET)
def ensure_socket(body: dict[str, Any], name: str) -> Response:
    """Make sure that a socket of this name exists with this specification.

    409 if one exists that is something else, with the `members` that differ. With `persist: boot` the
    specification is saved, and the socket made again at each start of the daemon; `false` ends that.
    """
    if not NAME.fullmatch(name):
        raise InvalidRequestError(
            f"{name[:80]!r} is not a name", member="name", hint=f"names match {NAME.pattern}"
        )
    declared = Declaration(specification(body), body["document"], body.get("persist"))
    entry, is_new = service().boot.ensure(call(), name, declared, body.get("timeout"))
    return one_socket(entry, 201 if is_new else 200)


@blueprint.delete("/names/<name>")
@blueprint.response(204)
def delete_name(name: str) -> Response:
    """Close the socket of this name if it is there, and make it no more."""
    service().names.delete(call(), name)
    return nothing()


def _represent(named: Named) -> dict[str, Any]:
    return {
        "name": named.name,
        "owner": None if named.owner is None else owner(named.owner),
        "persist": named.persist or False,
        "socket": None if named.entry is None else named.entry.fd,
        "failure": None if named.failure is None else problem(named.failure),
        "retry_at": None if named.retry_at is None else timestamp(named.retry_at),
    }
