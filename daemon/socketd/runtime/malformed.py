"""The answer to bytes that are no HTTP request: gunicorn refuses them before the API sees them."""

from __future__ import annotations

import errno
import json
import os
from email.utils import formatdate
from http import HTTPStatus

from gunicorn.http import errors as http_errors

_STATUS_BY_ERROR = {
    http_errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    http_errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    http_errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    http_errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    # Raised for a header that we send: ours to mend, though gunicorn files it under the request's.
    http_errors.InvalidResponseHeader: HTTPStatus.INTERNAL_SERVER_ERROR,
    http_errors.InvalidResponseHeaderName: HTTPStatus.INTERNAL_SERVER_ERROR,
    http_errors.ParseException: HTTPStatus.BAD_REQUEST,
}


def status_of(error: BaseException) -> HTTPStatus:
    """Return the status for what gunicorn raised; 500 for what is no fault of the client."""
    for kind, status in _STATUS_BY_ERROR.items():
        if isinstance(error, kind):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR


def answer(status: HTTPStatus, error: BaseException) -> bytes:
    """Return a whole HTTP response that ends the connection, in the API's one form of error."""
    is_ours = status is HTTPStatus.INTERNAL_SERVER_ERROR
    symbol = "EIO" if is_ours else "EBADMSG"
    request_id = os.urandom(8).hex()
    problem = {
        "type": f"/docs/errors#{symbol}",
        "title": os.strerror(getattr(errno, symbol)),
        "status": status.value,
        "detail": "the daemon failed; its log says how" if is_ours else f"{status.phrase}: {error}",
        "instance": request_id,
        "code": "internal" if is_ours else "malformed_request",
        "errno": symbol,
        "number": getattr(errno, symbol),
        "syscall": None,
        "socket": None,
        "hint": None,
    }
    body = json.dumps(problem).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\n"
        "Connection: close\r\n"
        "Content-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"X-Request-Id: {request_id}\r\n\r\n"
    )
    return head.encode("ascii") + body
