"""One connection for one socket: a tunnel of bytes, or a WebSocket."""

from __future__ import annotations

from typing import Any, Final

from flask import Response, request

from socketd.web import handshake, tunnelling, upgrading, websocket_tunnel
from socketd.web.body import ApiBlueprint
from socketd.web.caller import call, service
from socketd.web.upgrading import UPGRADE, Left

blueprint = ApiBlueprint("tunnel", __name__, url_prefix="/v1/sockets", description="Tunnels")
_TCP: Final[dict[str, Any]] = {**UPGRADE, "schema": {"type": "string", "enum": [tunnelling.PROTOCOL]}}
_WEBSOCKET: Final[dict[str, Any]] = {**UPGRADE, "schema": {"type": "string", "enum": [handshake.PROTOCOL]}}
_SUBPROTOCOL: Final[dict[str, Any]] = {
    "name": "Sec-WebSocket-Protocol",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "`socketd.v1`; over TCP a page adds `socketd.bearer.` with its token in base64url.",
}


@blueprint.post("/<ref>/tunnel", parameters=[_TCP])
@blueprint.response(101, description="The connection carries the socket's bytes, both ways")
def open_tunnel(ref: str) -> Response:
    """Turn this connection into a connected stream socket: after the 101 bytes go both ways as they are.

    Each side's end of file is passed on, and the other direction goes on. Nothing else reads or writes the
    socket meanwhile (EBUSY). When the tunnel has ended, the socket is still held.
    """
    upgrading.require(tunnelling.PROTOCOL)
    asked = call()
    tunnelling.serve(asked, service().tunnels.find(asked, ref))
    return Left(status=101)


@blueprint.get("/<ref>/tunnel", parameters=[_WEBSOCKET, _SUBPROTOCOL])
@blueprint.response(101, description="A WebSocket carries the socket's bytes or messages, both ways")
def open_websocket(ref: str) -> Response:
    """Turn this connection into a connected socket, as a WebSocket (RFC 6455), for pages in browsers.

    On a stream socket a binary message is bytes, and an empty one the end of that direction, both ways; on
    others a message is one datagram. Text is sent as UTF-8. After both ends the daemon closes with 1000.
    """
    upgrading.require(handshake.PROTOCOL)
    connection, offered = handshake.read(list(request.headers.items()))
    asked = call()
    entry = service().tunnels.find(asked, ref, with_messages=True)
    websocket_tunnel.serve(asked, entry, connection, offered)
    return Left(status=101)
