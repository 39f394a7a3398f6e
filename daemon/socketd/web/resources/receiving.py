"""Receive: raw bytes, or messages in JSON."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from flask import Response, request

from socketd.core import address_text, flags
from socketd.errors import InvalidRequestError
from socketd.web.body import ApiBlueprint
from socketd.web.caller import call, service
from socketd.web.representation import JSON, OCTETS, address, json, text_or_base64
from socketd.web.schemas.headers import RECEIVED
from socketd.web.schemas.transfer import DEFAULT_SIZE, ReceivedSchema, ReceiveQuerySchema, ReceiveSchema

if TYPE_CHECKING:
    from socketd.core.receiving import Incoming, Received

blueprint = ApiBlueprint("receiving", __name__, url_prefix="/v1/sockets", description="Bytes and messages")
_ANSWER: Final = "What came: bytes, or messages in JSON"


@blueprint.post("/<ref>/recv")
@blueprint.arguments(ReceiveQuerySchema(), location="query")
@blueprint.arguments(ReceiveSchema(), required=False)
@blueprint.response(200, ReceivedSchema(), description=_ANSWER)
@blueprint.alt_response(
    200,
    schema={"type": "string", "format": "binary", "description": "The bytes themselves."},
    content_type=OCTETS,
    description=_ANSWER,
    headers=RECEIVED,
)
def receive(query: dict[str, Any], body: dict[str, Any], ref: str) -> Response:
    """Receive bytes or messages, waiting for them (`recv(2)`, `recvfrom(2)`).

    The answer is the bytes themselves, with `Socket-Eof`, `Socket-From`, `Socket-Flags` and
    `Socket-Length` in the headers; or JSON for `Accept: application/json`, where several messages fit.
    Whoever goes away while waiting takes nothing.
    """
    asked = {**query, **body}
    as_json = request.accept_mimetypes.best_match((OCTETS, JSON)) == JSON
    most = asked.get("max", 1)
    if most > 1 and not as_json:
        raise InvalidRequestError(
            "several messages fit only in JSON", member="max", hint="send 'Accept: application/json'"
        )
    size, wanted_flags = asked.get("size", DEFAULT_SIZE), asked.get("flags", 0)
    _, received = service().transfers.receive(call(), ref, size, wanted_flags, most, asked.get("timeout"))
    return _as_json(received, asked.get("encoding", "auto")) if as_json else _raw(received)


def _as_json(received: Received, encoding: str) -> Response:
    messages = [_message(each, encoding) for each in received.messages]
    return json({"messages": messages, "eof": received.is_eof})


def _message(message: Incoming, encoding: str) -> dict[str, Any]:
    return {
        **_encoded(message.data, encoding),
        "size": len(message.data),
        "length": message.length,
        "from": address(message.source),
        "flags": flags.flag_names(message.flags),
    }


def _encoded(data: bytes, encoding: str) -> dict[str, str]:
    if encoding == "auto":
        return text_or_base64(data)
    if encoding == "base64":
        return {"base64": base64.b64encode(data).decode()}
    # The bytes are taken already, so what is no UTF-8 is shown as U+FFFD and not refused.
    return {"text": data.decode("utf-8", "replace")}


def _raw(received: Received) -> Response:
    message = received.messages[0] if received.messages else None
    headers = {"Socket-Eof": "true" if received.is_eof else "false"}
    if message is not None:
        headers["Socket-Length"] = str(message.length)
        if message.source is not None:
            # A header field is visible ASCII (RFC 9110, 5.5); a Unix path may hold anything.
            headers["Socket-From"] = address_text.text(message.source).encode("unicode_escape").decode()
        if names := flags.flag_names(message.flags):
            headers["Socket-Flags"] = ", ".join(names)
    return Response(message.data if message else b"", 200, headers, content_type=OCTETS)
