"""How requests are read: strict JSON bodies, strict queries, and the blueprint that uses both."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import orjson
from flask import request
from flask_smorest import Blueprint
from webargs.flaskparser import FlaskParser

from socketd.errors import SocketdError

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Request, Response
    from marshmallow import Schema

    View = Callable[..., Response]


class MalformedBodyError(SocketdError):
    """The body is not what its Content-Type says."""

    code = "malformed_body"

    def __init__(self, message: str) -> None:
        super().__init__(message, symbol="EINVAL", hint="the body must be one JSON object in UTF-8")


class CutBodyError(SocketdError):
    """The connection ended before the body did; nothing was done."""

    code = "cut_body"

    def __init__(self) -> None:
        super().__init__(
            "the connection ended before the body of the request did",
            symbol="EINVAL",
            hint="send it again: nothing was done, and nothing is kept under its Idempotency-Key",
        )


class MediaTypeError(SocketdError):
    """The body comes as something that this operation does not read."""

    code = "unsupported_media_type"

    def __init__(self, given: str, wanted: str) -> None:
        super().__init__(
            f"a body of type {given or 'unknown'!r} is not read here, {wanted} is",
            symbol="EINVAL",
            hint=f"curl: add -H 'Content-Type: {wanted}' (or use --json)",
        )


class StrictParser(FlaskParser):
    """Reads a request by a schema; what the schema does not name is an error, in the query too."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {}  # noqa: RUF012 (webargs declares it so)

    def load_json(self, req: Request, schema: Schema) -> Any:  # noqa: ARG002 (webargs' signature)
        """Read the body as JSON; no body is an empty object, for operations where nothing is required.

        Only ``application/json`` is read: what a browser can send across sites without asking
        (``text/plain`` and forms) never gets here.
        """
        return json_body(req)


def json_body(req: Request) -> Any:
    """Parse the body.

    Raises:
        MediaTypeError: It does not say that it is JSON.
        MalformedBodyError: It is not.
    """
    raw = req.get_data(cache=False)
    if not raw:
        return {}
    if not req.is_json:
        raise MediaTypeError(req.mimetype, "application/json")
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise MalformedBodyError(f"the body is not JSON: {error}") from error


class ApiBlueprint(Blueprint):  # type: ignore[misc]
    """flask-smorest's blueprint with the strict parser, whose decorators document and do little per request.

    Its own wrappers unpack tuples, dump by schema and look for coroutines; a view here gives a ``Response``.
    """

    ARGUMENTS_PARSER = StrictParser()

    def arguments(self, schema: Schema, *, location: str = "json", **kwargs: Any) -> Callable[[View], View]:
        """Read the body or the query by a schema, and give it to the view before the parts of the path."""
        parse = self.ARGUMENTS_PARSER.parse
        document = super().arguments(schema, location=location, **kwargs)

        def decorate(view: View) -> View:
            @wraps(document(view))
            def read(*loaded: Any, **path: Any) -> Response:
                return view(*loaded, parse(schema, request, location=location), **path)

            return read

        return decorate

    def response(self, *args: Any, **kwargs: Any) -> Callable[[View], View]:
        """Document what the view answers."""
        return _noted(super().response(*args, **kwargs))

    def alt_response(self, *args: Any, **kwargs: Any) -> Callable[[View], View]:
        """Document what it may answer instead."""
        return _noted(super().alt_response(*args, **kwargs))

    def doc(self, **kwargs: Any) -> Callable[[View], View]:
        """Document more of it."""
        return _noted(super().doc(**kwargs))


def _noted(document: Callable[[View], Any]) -> Callable[[View], View]:
    """Keep what a decorator of flask-smorest notes on a view, and not its wrapper."""

    def decorate(view: View) -> View:
        view._apidoc = document(view)._apidoc  # type: ignore[attr-defined]  # noqa: SLF001 (its only seam)
        return view

    return decorate
