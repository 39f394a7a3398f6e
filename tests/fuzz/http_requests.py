"""The target that reads whole HTTP requests: gunicorn's parser, and the application behind it."""

from __future__ import annotations

import atexit
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.http.parser import RequestParser

from socketd.runtime import malformed
from socketd.runtime.chunks import with_checked_chunks
from socketd.service import Limits
from tests.fuzz.target import Target
from tests.web.in_process import Web, without_dns

if TYPE_CHECKING:
    from collections.abc import Iterator

PEER = ("127.0.0.1", 40_000)
CONFIG = Config()
# What changes something is left out: a fuzzer that binds and connects finds files and hosts of others.
READING = ("GET", "HEAD", "OPTIONS")


class Reader:
    """An application that holds two sockets, and what comes to it."""

    def __init__(self) -> None:
        limits = Limits(max_timeout_s=0, default_timeout_s=0, descriptors=4096)
        self.web = Web(limits=limits, resolver=without_dns)
        self.web.pair()
        self.application = with_checked_chunks(self.web.app.wsgi_app)
        self.status = 0
        atexit.register(self.web.close)

    def feed(self, data: bytes) -> None:
        """Answer a request: with no 5xx but 501 and 503, and whatever it is, as itself."""
        try:
            request = next(RequestParser(CONFIG, iter([data]), PEER), None)
        except (NoMoreData, StopIteration):
            return
        except ParseException as error:
            self._check_refusal(error)
            return
        if request is None or request.method not in READING or "/events" in request.path:
            return
        try:
            _, environ = wsgi.create(request, self.web.connection, PEER, "/run/socketd/api.sock", CONFIG)
        except ParseException:
            return
        for _ in self._answered(environ):
            break
        assert self.status < 500 or self.status in {501, 503}, self.status

    @staticmethod
    def _check_refusal(error: ParseException) -> None:
        status = malformed.status_of(error)
        assert status != HTTPStatus.INTERNAL_SERVER_ERROR
        assert malformed.answer(status, error)

    def _answered(self, environ: dict[str, Any]) -> Iterator[bytes]:
        def start_response(status: str, headers: list[tuple[str, str]], _failure: Any = None) -> None:
            self.status = int(status[:3])
            for name, value in headers:
                assert not set(name + value) & set("\r\n\0"), (name, value)

        body = self.application(environ, start_response)
        try:
            yield from body
        finally:
            if hasattr(body, "close"):
                body.close()


def request(target: str, *headers: str) -> bytes:
    """Write a request."""
    return "\r\n".join((f"GET {target} HTTP/1.1", "Host: localhost", *headers, "", "")).encode("latin-1")


SEEDS = (
    request("/v1/sockets?limit=2&fields=fd,local"),
    request("/v1/sockets/3", 'If-Match: "1", W/"2"', "Authorization: Bearer x"),
    request("/v1/caller", "Origin: http://localhost", "Sec-Fetch-Site: same-origin"),
    request("/v1/addrinfo?host=127.0.0.1&service=80&flags=AI_NUMERICHOST", "Accept: text/plain;q=0.5, */*"),
    request("/v1/networks/10.0.0.0/8", "X-Request-Id: abc", "Idempotency-Key: k"),
    request("/v1/byteorder/htonl/1", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n",
    request("/v1/process/fds/1", "Content-Length: 2", "Content-Type: application/json") + b"{}",
    request("/v1/names?prefix=w", "Expect: 100-continue"),
)
WORDS = (
    *("If-Match: ", "If-None-Match: ", "Origin: ", "Sec-Fetch-Site: cross-site", "Authorization: Bearer "),
    *("Content-Type: application/json", "Content-Length: ", "Transfer-Encoding: chunked", "Host: [::1]:80"),
    *("Accept: ", "Last-Event-ID: ", "X-Request-Id: ", "Idempotency-Key: ", "HTTP/1.0", "/v1/", "sockets"),
    *("/options/SO_ERROR", "/info", "?fields=", "&after=", "name=", "%00", "%2f", "http://localhost"),
)


def target() -> Target:
    """Make the application; it lives until the process ends."""
    return Target(Reader().feed, SEEDS, WORDS)
