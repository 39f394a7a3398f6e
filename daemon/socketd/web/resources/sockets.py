"""Held sockets: create, list, show, accept, pair, close."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson
from flask import Response, request

from socketd.core.table import Origin
from socketd.service.boot import Declaration
from socketd.service.listing import Filter
from socketd.web.body import ApiBlueprint
from socketd.web.caller import call, service
from socketd.web.representation import (
    JSON,
    NDJSON,
    fields_asked,
    json,
    many_sockets,
    nothing,
    one_socket,
    open_sockets,
)
from socketd.web.schemas.headers import NEW_SOCKET, NEXT_PAGE, ONE_SOCKET
from socketd.web.schemas.sockets import (
    AcceptSchema,
    CloseSchema,
    CreateSchema,
    FieldsSchema,
    ListSchema,
    PageSchema,
    PairSchema,
    SocketSchema,
    SocketsSchema,
)
from socketd.web.specification import protocol, specification

if TYPE_CHECKING:
    from socketd.service.listing import Page

blueprint = ApiBlueprint("sockets", __name__, url_prefix="/v1", description="Held sockets")
_ONE_OR_MANY = {
    # Not oneOf: a socket may lack every member and have unknown ones, so a list of them passes for one, too.
    "responses": {201: {"content": {JSON: {"schema": {"anyOf": [SocketSchema(), SocketsSchema()]}}}}}
}


@blueprint.post("/sockets")
@blueprint.arguments(CreateSchema())
@blueprint.response(201, SocketSchema(), headers=NEW_SOCKET)
@blueprint.doc(**_ONE_OR_MANY)
def create_socket(body: dict[str, Any]) -> Response:
    """Create a socket; bind, connect or listen in the same call.

    With `persist: boot` it is made again at each start of the daemon, until you close or release it.
    With `count` the answer is `{"sockets": […]}`: all of them, or none and the `index` of the failing one.
    """
    asked = call()
    wanted, name = specification(body), body.get("name")
    if body.get("persist"):
        declared = Declaration(wanted, body["document"], body["persist"])
        return one_socket(service().boot.create(asked, body["name"], declared, body.get("timeout")), 201)
    origin = Origin(asked.caller.owner, name)
    if "count" not in body:
        return one_socket(service().sockets.create(asked, wanted, origin, body.get("timeout")), 201)
    made = service().sockets.create_many(asked, wanted, origin, body["count"], body.get("timeout"))
    return many_sockets(made, asked.waiter.give_way, 201)


@blueprint.get("/sockets")
@blueprint.arguments(ListSchema(), location="query")
@blueprint.response(200, PageSchema(), headers=NEXT_PAGE)
def list_sockets(query: dict[str, Any]) -> Response:
    """List your sockets by number (root: everybody's).

    With `Accept: application/x-ndjson` one socket a line.
    """
    asked = call()
    wanted = Filter(
        query.get("family"),
        query.get("type"),
        query.get("state"),
        query.get("name"),
        query.get("port"),
        query.get("owner"),
    )
    page = service().sockets.page(asked, wanted, query.get("cursor", -1), query["limit"])
    fields = fields_asked(query.get("fields_"))
    shown = list(open_sockets(page.entries, asked.waiter.give_way, fields))
    cursor = None if page.next_after is None else str(page.next_after)
    headers = {"Link": _next_link(page)} if cursor else {}
    if request.accept_mimetypes.best_match((JSON, NDJSON)) == NDJSON:
        return Response(
            b"".join(orjson.dumps(one) + b"\n" for one in shown), 200, headers, content_type=NDJSON
        )
    return json({"sockets": shown, "next_cursor": cursor}, 200, headers)


@blueprint.get("/sockets/<ref>")
@blueprint.arguments(FieldsSchema(), location="query")
@blueprint.response(200, SocketSchema(), headers=ONE_SOCKET)
def get_socket(query: dict[str, Any], ref: str) -> Response:
    """Show a socket."""
    return one_socket(service().sockets.get(call(), ref), fields=fields_asked(query.get("fields_")))


@blueprint.delete("/sockets/<ref>")
@blueprint.arguments(CloseSchema(), location="query")
@blueprint.response(204)
def close_socket(query: dict[str, Any], ref: str) -> Response:
    """Close a socket; calls that wait on it end with EBADF."""
    service().sockets.close(call(), ref, shut_duplicates=query["shutdown"])
    return nothing()


@blueprint.post("/sockets/<ref>/accept")
@blueprint.arguments(AcceptSchema(), required=False)
@blueprint.response(201, SocketsSchema())
def accept_connections(body: dict[str, Any], ref: str) -> Response:
    """Wait for a connection and take it, or up to `max` that are there.

    Each becomes a held socket of its own. Whoever goes away while waiting takes nothing.
    """
    asked = call()
    accepted = service().sockets.accept(asked, ref, body.get("timeout"), body["max"], body.get("name"))
    return many_sockets(accepted, asked.waiter.give_way, 201)


@blueprint.post("/socketpairs")
@blueprint.arguments(PairSchema(), required=False)
@blueprint.response(201, SocketsSchema())
def create_pair(body: dict[str, Any]) -> Response:
    """Create two sockets connected with each other."""
    asked = call()
    family, kind = body["family"], body["type"]
    names = tuple(body.get("names", (None, None)))
    number = protocol(body["protocol"], family, kind)
    return many_sockets(
        service().sockets.pair(asked, family, kind, number, names), asked.waiter.give_way, 201
    )


def _next_link(page: Page) -> str:
    """Point to the next page (RFC 8288)."""
    query = urlencode({**request.args.to_dict(), "cursor": str(page.next_after)})
    return f'<{request.path}?{query}>; rel="next"'
