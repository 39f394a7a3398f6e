"""Flask without what this API has no use for: sessions, coroutines, virtual hosts, rewritten headers.

Each override leaves out work that Flask and Werkzeug do for every request; together that is a third of a
small one. What is not the common case goes the stock way.
"""

from __future__ import annotations

from http import HTTPStatus
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, Final

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.routing import MapAdapter
from werkzeug.utils import cached_property
from werkzeug.wsgi import get_path_info

from socketd.web.body import CutBodyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

_NO_SESSION: Final = NullSession()


class _NoSessions(SessionInterface):
    """Nobody logs in: who calls is what the kernel or the token says, request by request."""

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002 (Flask's signature)
        return _NO_SESSION

    def is_null_session(self, obj: object) -> bool:  # noqa: ARG002 (Flask's signature)
        return True


class ApiRequest(Request):
    """A request whose body is read in one piece, and whole or not at all."""

    @cached_property
    def stream(self) -> IO[bytes]:
        """Read the body.

        Werkzeug's LimitedStream asks for it in steps (25 microseconds for the smallest body), cuts a chunked
        one that is too long, and takes what a client that broke off has sent for all of it.

        Raises:
            RequestEntityTooLarge, CutBodyError: As they say.
        """
        bound, stated = self.max_content_length or 0, self.content_length
        if stated is not None and stated > bound:
            raise RequestEntityTooLarge
        # gunicorn ends it: at the stated length, after the last chunk, or at once where there is none.
        data = self.environ["wsgi.input"].read(bound + 1 if stated is None else stated)
        if len(data) > bound:
            raise RequestEntityTooLarge
        if stated is not None and len(data) < stated:
            raise CutBodyError
        return BytesIO(data)


class ApiResponse(Response):
    """An answer that is sent as it was made.

    Werkzeug copies the headers, looks for IRIs and wraps the body. Here they are ASCII from the start,
    and the length was noted when the body was set.
    """

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Send it."""
        is_empty = self.status_code == HTTPStatus.NO_CONTENT
        if not is_empty and (not self.is_sequence or "Content-Length" not in self.headers):
            return super().__call__(environ, start_response)
        start_response(self.status, self.headers.to_wsgi_list())
        return () if is_empty or environ["REQUEST_METHOD"] == "HEAD" else self.iter_encoded()


class Application(Flask):
    """Flask with these. Hooks are the application's own, no blueprint has any; nobody listens to signals."""

    request_class = ApiRequest
    response_class = ApiResponse
    session_interface = _NoSessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return it: no view or hook is a coroutine, and Flask asks that nine times a request."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Match the path alone: one application, whatever it is called by."""
        if request is None or self.config["TRUSTED_HOSTS"] is not None:
            return super().create_url_adapter(request)
        environ = request.environ
        return MapAdapter(
            self.url_map,
            environ.get("HTTP_HOST", ""),
            request.root_path,
            subdomain="",
            url_scheme=request.scheme,
            path_info=get_path_info(environ),
            default_method=request.method,
            query_args=environ.get("QUERY_STRING", ""),
        )

    def preprocess_request(self) -> Any:
        """Run what is registered for before a request, until something gives an answer."""
        for hook in self.before_request_funcs.get(None, ()):
            answer = hook()
            if answer is not None:
                return answer
        return None

    def process_response(self, response: Response) -> Response:
        """Run what is registered for after a request, the last one first."""
        for hook in reversed(self.after_request_funcs.get(None, ())):
            response = hook(response)
        return response

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """Run what is registered for the end of a request, however it ended; the last one first."""
        for hook in reversed(self.teardown_request_funcs.get(None, ())):
            hook(exc)
