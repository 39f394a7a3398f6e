"""Receive: raw bytes, or messages in JSON."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from flask import request

from socketd.core import address_text, control, flags
from socketd.core.receiving import Wanted
from socketd.errors import InvalidRequestError
from socketd.web.application import ApiResponse
from socketd.web.body import ApiBlueprint
from socketd.web.caller import call, service
from socketd.web.representation import JSON, OCTETS, address, json, text_or_base64
from socketd.web.schemas.headers import RECEIVED
from socketd.web.schemas.transfer import DEFAULT_SIZE, ReceivedSchema, ReceiveQuerySchema, ReceiveSchema

if TYPE_CHECKING:
    from flask import Response

    from socketd.core.control import ControlMessage
    from socketd.core.receiving import Incoming, Received
    from socketd.service.arrivals import Arrivals

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
    `Socket-Length` in the headers; or JSON for `Accept: application/json`, where several messages fit,
    and control messages beside them.
    Whoever goes away while waiting takes nothing.
    """
    asked = {**query, **body}
    # Most ask for the bytes and nothing else, and parsing that costs as much as recv(2).
    is_plain = request.headers.get("Accept") == OCTETS
    as_json = not is_plain and request.accept_mimetypes.best_match((OCTETS, JSON)) == JSON
    if not as_json:
        _check_fits(asked)
    wanted = Wanted(
        asked.get("size", DEFAULT_SIZE),
        asked.get("flags", 0),
        asked.get("max", 1),
        space=asked.get("control_size", 0),
    )
    received, arrivals = service().transfers.receive(call(), ref, wanted, asked.get("timeout"))
    if not as_json:
        return _raw(received)
    messages = [_message(each, asked.get("encoding", "auto")) for each in received.messages]
    if "control_size" in asked:
        for message, each in zip(messages, received.messages, strict=True):
            message["control"] = [_control(one, arrivals) for one in each.control]
            message["closed"] = each.closed
    return json({"messages": messages, "eof": received.is_eof})


def _check_fits(asked: dict[str, Any]) -> None:
    """Refuse to lose what bytes alone cannot tell."""
    hint = f"send 'Accept: {JSON}'"
    if asked.get("max", 1) > 1:
        raise InvalidRequestError("several messages fit only in JSON", member="max", hint=hint)
    if asked.get("control_size"):
        raise InvalidRequestError("control messages fit only in JSON", member="control_size", hint=hint)


def _message(message: Incoming, encoding: str) -> dict[str, Any]:
    return {
        **_encoded(message.data, encoding),
        "size": len(message.data),
        "length": message.length,
        "from": address(message.source),
        "flags": flags.flag_names(message.flags),
    }


def _control(message: ControlMessage, arrivals: Arrivals) -> dict[str, Any]:
    body: dict[str, Any] = {
        "level": control.level_name(message.level),
        "type": control.type_name(*message.kind),
        "numbers": list(message.kind),
    }
    if message.kind == control.RIGHTS:
        body["sockets"] = [entry.fd for entry in message.sockets]
        body["new"] = [entry.fd for entry in message.sockets if arrivals.is_new(entry)]
        body["blocking"] = [entry.fd for entry in message.sockets if arrivals.is_blocking(entry)]
    else:
        body["base64"] = base64.b64encode(message.data).decode()
    return body


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
    return ApiResponse(message.data if message else b"", 200, headers, content_type=OCTETS)
