"""Descriptors change hands: take those of held sockets, give one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flask import Response, request

from socketd.errors import InvalidRequestError, NeedsUnixSocketError
from socketd.service.donation import Offer
from socketd.service.passing import Taking
from socketd.web import giving
from socketd.web.body import ApiBlueprint
from socketd.web.caller import call, service
from socketd.web.representation import DESCRIPTORS, fields_asked, many_sockets, one_socket
from socketd.web.schemas.headers import NEW_SOCKET, ONE_SOCKET
from socketd.web.schemas.passing import GiveFromSchema, GiveQuerySchema, TakeManySchema, TakeSchema
from socketd.web.schemas.sockets import FieldsSchema, SocketSchema, SocketsSchema
from socketd.web.upgrading import Left

if TYPE_CHECKING:
    from socketd.core.entry import Entry
    from socketd.service import Call

blueprint = ApiBlueprint("passing", __name__, url_prefix="/v1/sockets", description="Descriptors")
INTERIM: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_GIVE_FROM: Final = GiveFromSchema()
_RECEIVES: Final[dict[str, Any]] = {
    "name": "Accept-Descriptors",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "enum": ["yes"]},
    "description": "The client reads with recvmsg(2) and keeps what comes; a release needs that.",
}
_COUNT: Final[dict[str, Any]] = {
    DESCRIPTORS: {"description": "How many descriptors came before.", "schema": {"type": "integer"}}
}
_GIVING: Final[dict[str, Any]] = {
    "requestBody": {
        "required": False,
        "content": {"application/json": {"schema": GiveFromSchema()}},
    }
}


@blueprint.post("/<ref>/take", parameters=[_RECEIVES])
@blueprint.arguments(FieldsSchema(), location="query")
@blueprint.arguments(TakeSchema(), required=False)
@blueprint.response(200, SocketSchema(), headers={**ONE_SOCKET, **_COUNT})
def take_socket(query: dict[str, str], body: dict[str, bool], ref: str) -> Response:
    """Take a duplicate of the descriptor itself, over the Unix socket of the API.

    Before the answer the daemon writes `HTTP/1.1 100 Continue` with the descriptor attached (SCM_RIGHTS).
    Clients skip that, and one that does not receive descriptors loses nothing. See docs/fd-passing.md.
    """
    fields = fields_asked(query.get("fields_"))
    asked = call()
    taken = _take(asked, (ref,), body)
    return _answer(asked, taken, one_socket(taken[0], fields=fields), body)


@blueprint.post("/take", parameters=[_RECEIVES])
@blueprint.arguments(FieldsSchema(), location="query")
@blueprint.arguments(TakeManySchema())
@blueprint.response(200, SocketsSchema(), headers=_COUNT)
def take_sockets(query: dict[str, str], body: dict[str, Any]) -> Response:
    """Take several descriptors, in the order asked for, up to 253 with each `100 Continue`.

    Of thousands, ask for few `fields`: describing them costs more than passing them.
    """
    asked, fields = call(), fields_asked(query.get("fields_"))
    taken = _take(asked, tuple(body["sockets"]), body)
    return _answer(asked, taken, many_sockets(taken, asked.waiter.give_way, fields=fields), body)


@blueprint.post("/give")
@blueprint.arguments(GiveQuerySchema(), location="query")
@blueprint.response(201, SocketSchema(), description="Duplicated from the other process", headers=NEW_SOCKET)
@blueprint.alt_response(101, description="With `Upgrade: socketd-give`: descriptors follow")
@blueprint.doc(**_GIVING)
def give_sockets(query: dict[str, str]) -> Response:
    """Give descriptors to the daemon, all of them or none.

    With `Connection: Upgrade` and `Upgrade: socketd-give` the answer is 101, and the descriptors follow on
    the bare connection, as docs/fd-passing.md has it. With a body, root gives another process' descriptor.
    """
    asked = call()
    if request.headers.get("Upgrade", "").lower() != giving.PROTOCOL:
        body = blueprint.ARGUMENTS_PARSER.parse(_GIVE_FROM, request, location="json")
        offer = Offer(body.get("name"))
        return one_socket(service().passing.give_from(asked, body["pid"], body["fd"], offer), 201)
    connection = _connection(asked)
    if request.content_length or "Transfer-Encoding" in request.headers:
        raise InvalidRequestError("an upgrade has no body", hint="send the manifest after the 101")
    fields = fields_asked(query.get("fields_"))
    giving.serve(asked, connection, existing_ok="existing" in query, fields=fields)
    return Left(status=101)


def _take(asked: Call, references: tuple[str, ...], body: dict[str, Any]) -> list[Entry]:
    is_received = request.headers.get("Accept-Descriptors", "").lower() == "yes"
    wanted = Taking(references, INTERIM, body["release"], body["blocking"], is_received)
    return service().passing.take(asked, _connection(asked), wanted)


def _connection(asked: Call) -> int:
    """Return the number of the connection that the request came by.

    Raises:
        NeedsUnixSocketError: It carries no descriptors, or no interim answers (RFC 9110, 15.2).
    """
    service().passing.check_connection(asked)
    if request.environ["SERVER_PROTOCOL"] != "HTTP/1.1":
        raise NeedsUnixSocketError
    number: int = request.environ["gunicorn.socket"].fileno()
    return number


def _answer(asked: Call, taken: list[Entry], answer: Response, body: dict[str, Any]) -> Response:
    """Say how many came; only now that the sockets are described, a release lets go of them."""
    answer.headers[DESCRIPTORS] = str(len(taken))
    if body["release"]:
        service().passing.release(asked, taken)
    return answer
