"""The application factory: handed its collaborators, it makes the Flask application and nothing else."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, Response, current_app, g, request
from flask_smorest import Api
from werkzeug import exceptions

from socketd.errors import InvalidRequestError
from socketd.web import browsers, errors, idempotency, instance, spec
from socketd.web.application import Application
from socketd.web.caller import EXTENSION, Gauges, House, WebSettings, house
from socketd.web.reference import blueprint as reference
from socketd.web.resources import BLUEPRINTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.core.seams import Waiter
    from socketd.service import Service

__all__ = ["Gauges", "WebSettings", "create_app"]

_CHUNKED: Final = "chunked"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OPENAPI: Final = {"API_TITLE": "socketd", "API_VERSION": "v1", "OPENAPI_VERSION": "3.1.0"}


class _Api(Api):  # type: ignore[misc]
    """flask-smorest's, without its error handler: that one loses the ``Allow`` of a 405."""

    def _register_error_handlers(self) -> None:
        errors.install(self._app)


def create_app(
    service: Service,
    *,
    waiter_for: Callable[[dict[str, Any]], Waiter],
    settings: WebSettings,
    gauges: Gauges | None = None,
) -> Flask:
    """Make the WSGI application.

    Args:
        service: The door inward.
        waiter_for: Gives the waiter of a request by its WSGI environment.
        settings: Bounds and secrets.
        gauges: What the metrics tell of the process around it.
    """
    app = Application("socketd", static_folder=None)
    app.config.update(_OPENAPI, MAX_CONTENT_LENGTH=settings.max_body_bytes, MAX_FORM_MEMORY_SIZE=0)
    app.url_map.merge_slashes = False  # an empty path segment is not found, rather than redirected
    app.extensions[EXTENSION] = House(service, waiter_for, settings, time.monotonic(), gauges or Gauges())
    api = _Api(app, spec_kwargs={"marshmallow_plugin": spec.SchemaPlugin()})
    spec.describe_fields(api)
    for blueprint in BLUEPRINTS:
        api.register_blueprint(blueprint)
    app.register_blueprint(reference)
    app.extensions["socketd.api"] = api
    app.before_request(_name_request)
    app.before_request(browsers.refuse_foreign)
    instance.install(app)
    app.before_request(_refuse_coded_body)
    app.before_request(_refuse_unknown_query)
    idempotency.install(app)
    app.after_request(_finish)
    return app


def _name_request() -> None:
    """Take the caller's own request id if it is a sane one, so that both logs can be matched."""
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else os.urandom(8).hex()


def _refuse_coded_body() -> None:
    """Refuse a body that is compressed on its way: gunicorn takes the chunks off, and leaves the rest to us.

    Raises:
        exceptions.NotImplemented: It is (RFC 9112, 6.1).
    """
    coding = request.headers.get("Transfer-Encoding", _CHUNKED)
    if coding.strip().lower() != _CHUNKED:
        raise exceptions.NotImplemented(f"a body in the transfer coding {coding!r} is not read; chunked is")


def _refuse_unknown_query() -> None:
    """Refuse a query where none is read; where one is, its schema refuses what it does not know.

    Raises:
        InvalidRequestError: There is one.
    """
    if not request.args or request.endpoint is None:
        return
    documented = getattr(current_app.view_functions[request.endpoint], "_apidoc", {}).get("arguments", {})
    if not any(parameter["in"] == "query" for parameter in documented.get("parameters", ())):
        raise InvalidRequestError("this operation reads no query", member=next(iter(request.args)))


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id", "-")
    answered = house().answered
    answered[response.status_code] = answered.get(response.status_code, 0) + 1
    return response
