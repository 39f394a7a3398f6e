"""What the application leaves out of Flask is not missed on the wire."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from tests.web.in_process import BODY_BYTES

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.web.in_process import Web


def bare(
    web: Web, method: str, path: str, environ: dict[str, str] | None = None, **more: Any
) -> TestResponse:
    """Ask for what the fixture's own checks cannot look at."""
    overrides = {"gunicorn.socket": web.connection, "wsgi.input_terminated": True, **(environ or {})}
    return web.app.test_client().open(path, method=method, environ_overrides=overrides, **more)


def test_head_has_the_length_of_get_and_no_body(web: Web):
    path = f"/v1/sockets/{web.create()['fd']}"
    shown, headed = web.ask("GET", path), bare(web, "HEAD", path)
    assert (headed.status_code, headed.data) == (200, b"")
    assert headed.headers["Content-Length"] == shown.headers["Content-Length"] == str(len(shown.data))
    assert headed.headers["ETag"] == shown.headers["ETag"]


def test_no_content_has_no_length(web: Web):
    answer = web.ask("DELETE", f"/v1/sockets/{web.create()['fd']}")
    assert answer.status_code == 204
    assert "Content-Length" not in answer.headers
    assert "Content-Type" not in answer.headers


def test_options_has_a_length(web: Web):
    answer = web.ask("OPTIONS", "/v1/sockets")
    assert answer.headers["Content-Length"] == "0"
    assert "POST" in answer.headers["Allow"]


def test_redirect_leads_to_the_host_that_was_asked(web: Web):
    answer = web.ask("GET", "/v1?x=1", base_url="http://127.0.0.1:8080")
    assert answer.status_code == 308
    assert answer.headers["Location"] == "http://127.0.0.1:8080/v1/?x=1"


def test_broken_off_body_is_refused_and_nothing_is_sent(web: Web):
    left, right = web.pair()
    path = f"/v1/sockets/{left}/send"
    half = {"input_stream": io.BytesIO(b"half"), "content_type": "application/octet-stream"}
    answer = bare(web, "POST", path, {"CONTENT_LENGTH": "8"}, **half)
    assert answer.status_code == 400
    assert web.refused("POST", f"/v1/sockets/{right}/recv", {"timeout": 0}) == (409, "EAGAIN")


def test_chunked_body_up_to_the_bound_is_read(web: Web):
    left, _ = web.pair()
    answer = web.ask(
        "POST",
        f"/v1/sockets/{left}/send",
        input_stream=io.BytesIO(b"x" * BODY_BYTES),
        content_type="application/octet-stream",
        headers={"Transfer-Encoding": "chunked"},
    )
    assert (answer.status_code, answer.json["sent"]) == (200, BODY_BYTES)


def test_doubled_slash_is_not_found(web: Web):
    assert web.refused("GET", "/v1//sockets") == (404, "ENOENT")
