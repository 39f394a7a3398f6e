"""The service document, health, the API's description and its rendered reference."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from socketd.web.body import ApiBlueprint
from socketd.web.caller import call, house
from socketd.web.representation import json, owner
from socketd.web.schemas.host import HealthSchema, ServiceSchema

if TYPE_CHECKING:
    from flask import Response

    from socketd.access.caller import Caller

blueprint = ApiBlueprint("root", __name__, description="The service itself")
EXTENSIONS = ("idempotency", "passing", "events", "forwards", "streams")
_LINKS = {
    "sockets": "/v1/sockets",
    "process": "/v1/process",
    "caller": "/v1/caller",
    "forwards": "/v1/forwards",
    "events": "/v1/events",
    "metrics": "/metrics",
    "health": "/healthz",
    "openapi": "/openapi.yaml",
    "docs": "/docs",
}


@blueprint.get("/v1/")
@blueprint.response(200, ServiceSchema())
def service_document() -> Response:
    """Describe the service, its limits, and who it takes you for."""
    asked, known = call(), house()
    settings, limits = known.settings, known.service.limits
    return json(
        {
            "service": "socketd",
            "version": settings.version,
            "api_versions": ["v1"],
            "extensions": EXTENSIONS,
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - known.started_at, 3),
            "sockets": known.service.sockets.count(asked),
            "keeper": known.service.keeper.state(),
            "limits": {
                "timeout_s": settings.max_timeout_s,
                "default_timeout_s": settings.default_timeout_s,
                "body_bytes": settings.max_body_bytes,
                "recv_bytes": settings.max_recv_bytes,
                "waits": settings.max_waits,
                "count": settings.max_count,
                "descriptors": limits.descriptors,
            },
            "links": _LINKS,
            "caller": _caller(asked.caller),
        }
    )


@blueprint.get("/healthz")
@blueprint.response(200, HealthSchema())
def health() -> Response:
    """Answer; needs no identity."""
    return json({"status": "ok"})


def _caller(of: Caller) -> dict[str, Any]:
    return {**owner(of.owner), "gid": of.gid, "pid": of.pid, "via": of.via}
