"""The description of the API, served by the daemon itself: as YAML and as a page."""

from __future__ import annotations

from flask import Blueprint, Response, current_app

from socketd.web import spec

blueprint = Blueprint("reference", __name__, template_folder="templates")


@blueprint.get("/openapi.yaml")
def openapi() -> Response:
    """Serve the OpenAPI document."""
    return Response(spec.text_of(current_app.extensions["socketd.api"]), content_type="application/yaml")
