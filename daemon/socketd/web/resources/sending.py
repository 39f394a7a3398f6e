"""Send: raw bytes, or messages in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Response, request

from socketd.service.attaching import Control, Message
from socketd.web.body import ApiBlueprint, MediaTypeError
from socketd.web.caller import call, service
from socketd.web.errors import problem
from socketd.web.representation import OCTETS, json
from socketd.web.schemas.transfer import SendQuerySchema, SendSchema, SentSchema

if TYPE_CHECKING:
    from socketd.core.transfer import Sent

    _Asked = tuple[list[Message], int, float | None]

blueprint = ApiBlueprint("sending", __name__, url_prefix="/v1/sockets", description="Bytes and messages")
_SEND = SendSchema()
_DOCUMENT = {
    "requestBody": {
        "content": {
            OCTETS: {"schema": {"type": "string", "format": "binary"}},
            "application/json": {"schema": SendSchema()},
        }
    }
}


@blueprint.post("/<ref>/send")
@blueprint.arguments(SendQuerySchema(), location="query")
@blueprint.response(200, SentSchema())
@blueprint.doc(**_DOCUMENT)
def send(query: dict[str, Any], ref: str) -> Response:
    """Send bytes, or one or several messages (`send(2)`, `sendto(2)`).

    A body of type `application/octet-stream` is what is sent; `to`, `flags` and `timeout` are then in
    the query. In JSON control messages may go beside it. Waits for room; what went before the time was
    over is told with `complete: false`.
    """
    asked = call()
    messages, flags, timeout_s = _raw(query) if request.mimetype == OCTETS else _from_json(query)
    return json(_sent(service().transfers.send(asked, ref, messages, flags, timeout_s)))


def _raw(query: dict[str, Any]) -> _Asked:
    data = request.get_data(cache=False)
    return [Message(data, query.get("to"))], query.get("flags", 0), query.get("timeout")


def _from_json(query: dict[str, Any]) -> _Asked:
    if not request.is_json and request.content_length != 0:
        raise MediaTypeError(request.mimetype, OCTETS)
    body = blueprint.ARGUMENTS_PARSER.parse(_SEND, request, location="json")
    messages = [_message(each) for each in body.get("messages", [body])]
    return messages, body["flags"] | query.get("flags", 0), body.get("timeout", query.get("timeout"))


def _message(given: dict[str, Any]) -> Message:
    control = tuple(
        Control(
            each["level"],
            each["type"],
            each.get("base64", b""),
            tuple(each.get("sockets", ())),
            tuple(each.get("release", ())),
        )
        for each in given.get("control", ())
    )
    return Message(_bytes(given), given.get("to"), control)


def _bytes(message: dict[str, Any]) -> bytes:
    if "base64" in message:
        return bytes(message["base64"])
    return str(message.get("text", "")).encode("utf-8", "surrogatepass")


def _sent(sent: Sent) -> dict[str, Any]:
    body: dict[str, Any] = {"sent": sent.size, "messages": sent.messages, "complete": sent.is_complete}
    if sent.error is not None:
        body["error"] = problem(sent.error)
    return body
