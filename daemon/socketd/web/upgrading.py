"""Requests that leave HTTP: told from others, refused by 426, and answered past the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flask import Response, g, request

from socketd.errors import InvalidRequestError, SocketdError
from socketd.web import instance
from socketd.web.application import ApiResponse
from socketd.web.takeover import TAKEN_OVER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIEnvironment

_SWITCH: Final = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {}\r\n"
UPGRADE: Final[Mapping[str, Any]] = {
    "name": "Upgrade",
    "in": "header",
    "required": False,
    "description": "Together with `Connection: Upgrade`; without them the answer is 426.",
}


class UpgradeRequiredError(SocketdError):
    """The operation goes on where HTTP ends, and the request does not ask for that.

    Args:
        protocol: What it should ask for.
        extra: Other headers of the answer.
    """

    code = "upgrade_required"

    def __init__(self, protocol: str, extra: Mapping[str, str] | None = None) -> None:
        super().__init__(
            f"this operation switches to another protocol, {protocol}, and the request does not ask for that",
            symbol="EPROTO",
            hint=f"send 'Connection: Upgrade' and 'Upgrade: {protocol}' over HTTP/1.1",
        )
        self.protocol = protocol
        self.extra = dict(extra or {})


class Left(ApiResponse):
    """No answer: it was given on the bare connection, which ends."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Say nothing, and let the server know."""
        del environ
        start_response(self.status, self.headers.to_wsgi_list())
        return TAKEN_OVER


class _ByHand(ApiResponse):
    """A 426, written past the server, which would leave its ``Upgrade`` out; the connection ends."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Write it."""
        connection: Any = environ.get("gunicorn.socket")
        if not hasattr(connection, "leave_http"):  # another server, which may do as it likes
            return super().__call__(environ, start_response)
        lines = [f"HTTP/1.1 {self.status}", "Connection: Upgrade, close"]
        lines += [f"{name}: {value}" for name, value in self.headers if name.lower() != "connection"]
        body = b"" if environ["REQUEST_METHOD"] == "HEAD" else self.get_data()
        connection.sendall("\r\n".join((*lines, "", "")).encode("latin-1") + body)
        start_response(self.status, self.headers.to_wsgi_list())
        return TAKEN_OVER


def require(protocol: str) -> None:
    """Return if the request asks to switch to ``protocol``, and has no body.

    Raises:
        UpgradeRequiredError, InvalidRequestError: As they say.
    """
    connection, upgrade = _words("Connection"), _words("Upgrade")
    if (
        protocol not in upgrade
        or "upgrade" not in connection
        or request.method == "HEAD"
        or request.environ["SERVER_PROTOCOL"] != "HTTP/1.1"
    ):
        raise UpgradeRequiredError(protocol)
    if request.content_length or "Transfer-Encoding" in request.headers:
        raise InvalidRequestError("an upgrade has no body", hint="send bytes after the 101")


def switching(protocol: str) -> bytes:
    """Write the 101 of this request."""
    lines = [f"{name}: {value}\r\n" for name, value in signature().items()]
    return "".join((_SWITCH.format(protocol), *lines, "\r\n")).encode()


def signature() -> dict[str, str]:
    """Give the headers that every answer has, which the application adds to those that it writes itself."""
    return {"X-Request-Id": g.request_id, instance.HEADER: instance.name()}


def refused(answer: Response, error: UpgradeRequiredError) -> Response:
    """Make of a problem the 426 that names the protocol (RFC 9110, 15.5.22)."""
    headers = {**dict(answer.headers), "Upgrade": error.protocol, "Connection": "Upgrade", **error.extra}
    return _ByHand(answer.get_data(), answer.status_code, headers, content_type=answer.content_type)


def _words(header: str) -> frozenset[str]:
    given = request.headers.get(header, "")
    return frozenset(word.strip().lower() for word in given.split(","))
