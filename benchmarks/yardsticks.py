"""What socketd is measured against: servers that answer nothing else, and the bare system calls."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from flask import Flask

_BODY = b'{"status":"ok"}'


def hello(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer without looking at the request: what a server costs by itself."""
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(_BODY)))])
    return [_BODY]


def flask_hello() -> Flask:
    """Make the smallest Flask application: what stock Flask costs on top of the server."""
    from flask import Flask, Response  # noqa: PLC0415 - not in the process of those who only want hello

    app = Flask(__name__, static_folder=None)

    @app.get("/")
    def index() -> Response:
        return Response(_BODY, content_type="application/json")

    return app


def listen_and_close() -> None:
    """Do what "give me a new listening socket" comes down to."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(128)
