"""``poll(2)`` over several held sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from socketd.core import flags
from socketd.errors import InvalidRequestError
from socketd.web.body import ApiBlueprint
from socketd.web.caller import call, service
from socketd.web.representation import json
from socketd.web.schemas.transfer import PolledSchema, PollSchema

if TYPE_CHECKING:
    from flask import Response

blueprint = ApiBlueprint("polling", __name__, url_prefix="/v1", description="Readiness")


@blueprint.post("/poll")
@blueprint.arguments(PollSchema())
@blueprint.response(200, PolledSchema())
def poll_sockets(body: dict[str, Any]) -> Response:
    """Wait until one of several sockets is ready (`poll(2)`).

    `ready` is empty when the time is over. A socket that does not exist is ready at once, with POLLNVAL.
    """
    wanted = [(_reference(each["socket"]), each["events"]) for each in body["sockets"]]
    ready = service().transfers.poll(call(), wanted, body.get("timeout"))
    return json(
        {
            "ready": [
                {
                    "socket": body["sockets"][position]["socket"],
                    "fd": None if entry is None else entry.fd,
                    "events": flags.poll_names(events),
                }
                for position, entry, events in ready
            ]
        }
    )


def _reference(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidRequestError("a socket is a descriptor number or a name", member="sockets.socket")
    return str(value)
