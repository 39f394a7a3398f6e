"""Forwards between held sockets: begin, look at, wait for, stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from socketd.service.forwards import STOP_S
from socketd.web.body import ApiBlueprint
from socketd.web.caller import call, service
from socketd.web.errors import problem
from socketd.web.representation import json, owner, timestamp
from socketd.web.schemas.forwards import (
    ForwardQuerySchema,
    ForwardRequestSchema,
    ForwardSchema,
    ForwardsSchema,
    StopQuerySchema,
)
from socketd.web.schemas.headers import NEW_FORWARD

if TYPE_CHECKING:
    from flask import Response

    from socketd.service.forwarding import Forward

blueprint = ApiBlueprint(
    "forwards", __name__, url_prefix="/v1/forwards", description="Sockets joined inside the daemon"
)


@blueprint.post("")
@blueprint.arguments(ForwardRequestSchema())
@blueprint.response(201, ForwardSchema(), headers=NEW_FORWARD)
def create_forward(body: dict[str, Any]) -> Response:
    """Join two connected stream sockets: what comes from one goes to the other, both ways.

    The end of file of one shuts the other for writing, and after both ends the forward has ended; so it has
    when one of the sockets is closed, or fails. While it runs, send, recv and other calls that read or write
    one of the two are EBUSY. It does not outlive the daemon.
    """
    first, second = body["sockets"]
    forward = service().forwards.create(call(), first, second, body["on_end"])
    return json(_represent(forward), 201, {"Location": f"/v1/forwards/{forward.id}"})


@blueprint.get("")
@blueprint.response(200, ForwardsSchema())
def list_forwards() -> Response:
    """List your forwards (root: everybody's), those too that have ended of late.

    Of the ended ones the newest 256 of a caller are kept, for ten minutes.
    """
    return json({"forwards": [_represent(forward) for forward in service().forwards.all(call())]})


@blueprint.get("/<id>")
@blueprint.arguments(ForwardQuerySchema(), location="query")
@blueprint.response(200, ForwardSchema())
def show_forward(query: dict[str, float], id: str) -> Response:  # noqa: A002 (as it stands in the path)
    """Show a forward, now or when it has ended; if the time is over before, it is `running`."""
    return json(_represent(service().forwards.wait(call(), id, query["timeout"])))


@blueprint.delete("/<id>")
@blueprint.arguments(StopQuerySchema(), location="query")
@blueprint.response(200, ForwardSchema())
def stop_forward(query: dict[str, float], id: str) -> Response:  # noqa: A002 (likewise)
    """Stop a forward: nothing more is taken, and what was taken is delivered if that is possible in time.

    The sockets stay open, unless `on_end` is close. One that has ended already is shown as it ended. If you
    hang up before the answer, the delivery goes on, for as long as it takes or until you ask again.
    """
    return json(_represent(service().forwards.stop(call(), id, query.get("timeout", STOP_S))))


def _represent(forward: Forward) -> dict[str, Any]:
    ending = forward.ending
    return {
        "id": forward.id,
        "sockets": [entry.fd for entry in forward.entries],
        "cookies": [entry.cookie for entry in forward.entries],
        "owner": owner(forward.owner),
        "on_end": forward.on_end,
        "created_at": timestamp(forward.created_at),
        "ended_at": None if forward.ended_at is None else timestamp(forward.ended_at),
        "state": forward.state,
        "moved_bytes": _ways(forward.moved),
        "undelivered_bytes": _ways(forward.undelivered),
        "whole": ending is not None and ending.is_whole,
        "error": None if ending is None or ending.error is None else problem(ending.error),
    }


def _ways(of: tuple[int, int]) -> dict[str, int]:
    to_second, to_first = of
    return {"to_first": to_first, "to_second": to_second}
