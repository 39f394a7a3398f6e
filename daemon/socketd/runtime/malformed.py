"""The answer to what is no HTTP request, or none in time: it is refused before the API sees it."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

from gunicorn.http import errors as http_errors

from socketd.errors import SlowRequestError, SocketdError, TooManyConnectionsError

_STATUS_BY_ERROR = {
    http_errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    http_errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    http_errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    http_errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    # Raised for a header that we send: ours to mend, though gunicorn files it under the request's.
    http_errors.InvalidResponseHeader: HTTPStatus.INTERNAL_SERVER_ERROR,
    http_errors.InvalidResponseHeaderName: HTTPStatus.INTERNAL_SERVER_ERROR,
    http_errors.ParseException: HTTPStatus.BAD_REQUEST,
    SlowRequestError: HTTPStatus.REQUEST_TIMEOUT,
    TooManyConnectionsError: HTTPStatus.SERVICE_UNAVAILABLE,
}


def status_of(error: BaseException) -> HTTPStatus:
    """Return the status for what gunicorn raised; 500 for what is no fault of the client."""
    for kind, status in _STATUS_BY_ERROR.items():
        if isinstance(error, kind):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR


@dataclass(frozen=True, slots=True)
class _Told:
    """What the answer says of an error."""

    symbol: str
    code: str
    detail: str
    syscall: str | None = None
    hint: str | None = None

    @classmethod
    def of(cls, status: HTTPStatus, error: BaseException) -> _Told:
        if isinstance(error, SocketdError):
            return cls(error.symbol, error.code, str(error), error.syscall, error.hint)
        if status is HTTPStatus.INTERNAL_SERVER_ERROR:
            return cls("EIO", "internal", "the daemon failed; its log says how")
        return cls("EBADMSG", "malformed_request", f"{status.phrase}: {error}")


def answer(status: HTTPStatus, error: BaseException) -> bytes:
    """Return a whole HTTP response that ends the connection, in the API's one form of error."""
    request_id = os.urandom(8).hex()
    told = _Told.of(status, error)
    problem = {
        "type": f"/docs/errors#{told.symbol}",
        "title": os.strerror(getattr(errno, told.symbol)),
        "status": status.value,
        "detail": told.detail,
        "instance": request_id,
        "code": told.code,
        "errno": told.symbol,
        "number": getattr(errno, told.symbol),
        "syscall": told.syscall,
        "socket": None,
        "hint": told.hint,
    }
    body = json.dumps(problem).encode()
    retry = "Retry-After: 1\r\n" if status is HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\n"
        "Connection: close\r\n"
        f"{retry}"
        "Content-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"X-Request-Id: {request_id}\r\n\r\n"
    )
    return head.encode("ascii") + body
