"""Errors on the wire: the one table of statuses, the one body (RFC 9457)."""

from __future__ import annotations

import errno
import logging
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from socketd import errors
from socketd.web.body import CutBodyError, MalformedBodyError, MediaTypeError
from socketd.web.browsers import ForeignHostError, ForeignOriginError, MalformedHostError
from socketd.web.upgrading import UpgradeRequiredError, refused

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

PROBLEM_TYPE: Final = "application/problem+json"
CLIENT_CLOSED_REQUEST: Final = 499  # nginx's; nobody is there to read it, but the log is
_RETRY_AFTER_S: Final = "1"

# By meaning, where the errno alone does not tell.
_BY_CLASS: Final[Mapping[type, int]] = {
    errors.InvalidRequestError: 422,
    errors.ResolveError: 422,
    errors.UnauthenticatedError: 401,
    errors.ShuttingDownError: 503,
    errors.UploadInterruptedError: 503,
    errors.ClientGoneError: CLIENT_CLOSED_REQUEST,
    errors.QuotaError: 429,
    errors.TooManyFollowersError: 429,
    errors.TooManyWaitsError: 429,
    errors.UnknownForwardError: 404,
    errors.NeedsUnixSocketError: 409,
    errors.PeerStalledError: 408,
    errors.SlowRequestError: 408,
    errors.NotSavedError: 503,
    CutBodyError: 400,
    MalformedBodyError: 400,
    UpgradeRequiredError: 426,
    MediaTypeError: 415,
    MalformedHostError: 400,
    ForeignHostError: 421,
    ForeignOriginError: 403,
}
_BY_SYMBOL: Final[Mapping[str, int]] = {
    **dict.fromkeys(("EBADF", "ESRCH"), 404),
    "ESTALE": 412,
    **dict.fromkeys(("EACCES", "EPERM"), 403),
    **dict.fromkeys(
        ("EADDRINUSE", "EISCONN", "ENOTCONN", "EINVAL", "EALREADY", "EDESTADDRREQ", "EEXIST", "EBUSY"), 409
    ),
    **dict.fromkeys(("EAGAIN", "EINPROGRESS", "ENOTSOCK"), 409),
    "EMSGSIZE": 413,
    **dict.fromkeys(("EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EOPNOTSUPP", "EPROTOTYPE"), 422),
    **dict.fromkeys(
        ("ENOPROTOOPT", "EADDRNOTAVAIL", "ENAMETOOLONG", "ENODEV", "EDOM", "ENOENT", "ENOTDIR", "ENOSYS"), 422
    ),
    **dict.fromkeys(("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ETOOMANYREFS"), 503),
    **dict.fromkeys(("ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "EPIPE", "ENETDOWN", "EHOSTDOWN"), 502),
    **dict.fromkeys(("EHOSTUNREACH", "ENETUNREACH"), 502),
    "ETIMEDOUT": 504,
}
_REST: Final = 409
"""Any other errno: the kernel refused it as things stand, and neither side is broken."""

HTTP_SYMBOLS: Final = {404: "ENOENT", 405: "EOPNOTSUPP", 413: "EMSGSIZE", 415: "EINVAL", 500: "EIO"}


def status_of(error: errors.SocketdError) -> int:
    """Give the HTTP status of an error: by its meaning, else by its errno."""
    for meaning in type(error).__mro__:
        if meaning in _BY_CLASS:
            return _BY_CLASS[meaning]
    return _BY_SYMBOL.get(error.symbol, _REST)


def problem(error: errors.SocketdError) -> dict[str, Any]:
    """Make the body of an error."""
    view_args = request.view_args or {}
    body = {
        "type": f"/docs/errors#{error.symbol}",
        "title": error.title,
        "status": status_of(error),
        "detail": str(error),
        "instance": g.request_id,
        "code": error.code,
        "errno": error.symbol,
        "number": error.number,
        "syscall": error.syscall,
        "socket": error.subject or view_args.get("ref"),
        "hint": error.hint,
    }
    if error.index is not None:
        body["index"] = error.index
    if isinstance(error, errors.InvalidRequestError) and error.member is not None:
        body["members"] = {error.member: [str(error)]}
    if isinstance(error, errors.DiffersError):
        body["members"] = {member: ["differs from what exists"] for member in error.members}
    return body


def answer(body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Send a problem."""
    status = body["status"]
    response = Response(
        orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE), status, headers, content_type=PROBLEM_TYPE
    )
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        response.headers["Retry-After"] = _RETRY_AFTER_S
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="socketd"'
    return response


def install(app: Flask) -> None:
    """Make every error of the application leave by this module."""
    app.register_error_handler(errors.SocketdError, _refused)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def _refused(error: errors.SocketdError) -> Response:
    """Answer what the service refuses."""
    response = answer(problem(error))
    if isinstance(error, UpgradeRequiredError):
        return refused(response, error)
    if isinstance(error, errors.QuotaError):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _http(error: HTTPException) -> Response:
    """Answer what werkzeug and the schemas refuse: routes, methods, sizes, members."""
    data = getattr(error, "data", None) or {}
    if "messages" in data:
        return answer(_wrong(_flatten(data["messages"])))
    # Allow of a 405 is in the headers that werkzeug computed; the body is ours.
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    return answer(_plain(error.code or 500, error.name, error.description or error.name), headers)


def _wrong(members: dict[str, list[object]]) -> dict[str, Any]:
    """Say which members a schema refused; if only one, and the core has a word for it, in that word."""
    causes = [(name, cause) for name, found in members.items() for cause in found]
    texts = {name: [_text(cause) for cause in found] for name, found in members.items()}
    detail = "; ".join(f"{name}: {' '.join(found)}" for name, found in texts.items())
    name, cause = causes[0]
    if len(causes) > 1 or not isinstance(cause, errors.InvalidRequestError):
        body = _plain(HTTPStatus.UNPROCESSABLE_ENTITY, "", detail)
        return {**body, "code": errors.InvalidRequestError.code, "members": texts}
    text = str(cause)
    detail = text if text.startswith(f"{name}: ") else f"{name}: {text}"
    return {**problem(cause), "detail": detail, "members": {name: [text]}}


def _unexpected(error: Exception) -> Response:
    """Answer a fault of ours: logged with its traceback, told without it."""
    log.error("request %s failed", g.get("request_id", "-"), exc_info=error)
    return answer(_plain(500, "Internal Server Error", "the daemon made a mistake; its log has the details"))


def _plain(status: int, title: str, detail: str) -> dict[str, Any]:
    symbol = HTTP_SYMBOLS.get(status, "EINVAL")
    return {
        "type": f"/docs/errors#{symbol}",
        "title": os.strerror(getattr(errno, symbol)) if symbol == "EINVAL" else title,
        "status": status,
        "detail": detail,
        "instance": g.get("request_id", "-"),
        "code": title.lower().replace(" ", "_"),
        "errno": symbol,
        "number": getattr(errno, symbol),
        "syscall": None,
        "socket": None,
        "hint": None,
    }


def _flatten(messages: object, path: str = "") -> dict[str, list[object]]:
    """Turn webargs' nested messages into members by dotted path, without the location in front."""
    if isinstance(messages, dict):
        inner: dict[str, list[object]] = {}
        for key, value in messages.items():
            is_location = not path and key in ("json", "query", "headers", "json_or_form")
            name = "" if is_location or key == "_schema" else str(key)
            inner.update(_flatten(value, ".".join(filter(None, (path, name)))))
        return inner
    return {path or "body": messages if isinstance(messages, list) else [messages]}


def _text(cause: object) -> str:
    """Write what a schema says of a member, or what the core does, with its hint."""
    hint = cause.hint if isinstance(cause, errors.InvalidRequestError) else None
    return f"{cause} ({hint})" if hint else str(cause)
