"""The manners of HTTP: bodies, media types, sizes, request ids, identity, and which socket is meant."""

from __future__ import annotations

import io
import json
import socket
from typing import TYPE_CHECKING

import pytest

from tests.web.in_process import BODY_BYTES, JSON, serving

if TYPE_CHECKING:
    from tests.web.in_process import Web

CREATE = ("POST", "/v1/sockets")


@pytest.mark.parametrize(
    "body",
    [b"{", b"nonsense", b"{'a': 1}", b'{"a": NaN}', b"\xff\xfe{}", b'"\\ud800"', b"{} {}", b"[" * 10_000],
)
def test_malformed_json_is_400(web: Web, body):
    answer = web.ask(*CREATE, body, content_type=JSON)
    assert (answer.status_code, answer.json["code"]) == (400, "malformed_body")


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"x"', b"[null, null]"])
@pytest.mark.parametrize("path", ["/v1/sockets", "/v1/sockets/a/send", "/v1/sockets/a/recv", "/v1/poll"])
def test_json_that_is_no_object_is_422(web: Web, body, path):
    web.done("POST", "/v1/socketpairs", {"names": ["a", "b"]})
    answer = web.ask("POST", path, body, content_type=JSON)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_request")
    assert answer.json["members"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_what_a_browser_sends_across_sites_is_415(web: Web, content_type):
    answer = web.ask(*CREATE, b"{}", content_type=content_type)
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")


def test_json_with_a_charset_or_a_suffix_is_read(web: Web):
    for content_type in ("application/json; charset=utf-8", "application/problem+json"):
        assert web.ask(*CREATE, b"{}", content_type=content_type).status_code == 201


def test_body_that_is_too_large_is_413(web: Web):
    fd, _ = web.pair()
    path = f"/v1/sockets/{fd}/send"
    assert web.refused("POST", path, b"x" * (BODY_BYTES + 1)) == (413, "EMSGSIZE")
    assert web.refused(*CREATE, {"name": "x" * BODY_BYTES}) == (413, "EMSGSIZE")
    assert web.done("POST", path, b"x" * BODY_BYTES)["sent"] == BODY_BYTES


def test_chunked_body_that_is_too_large_is_413(web: Web):
    fd, _ = web.pair()
    answer = web.ask(
        "POST",
        f"/v1/sockets/{fd}/send",
        input_stream=io.BytesIO(b"x" * (BODY_BYTES + 1)),
        content_type="application/octet-stream",
        headers={"Transfer-Encoding": "chunked"},
    )
    assert answer.status_code == 413


def test_no_body_is_an_empty_object_where_nothing_is_required(web: Web):
    assert web.ask("POST", "/v1/socketpairs").status_code == 201


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [("mine-1.2_3", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("ü", False), ("", False)],
)
def test_request_id_is_the_callers_if_it_is_a_sane_one(web: Web, given, is_kept):
    for path in ("/healthz", "/nowhere"):
        answer = web.ask("GET", path, headers={"X-Request-Id": given})
        assert (answer.headers["X-Request-Id"] == given) is is_kept


def test_request_id_differs_each_time(web: Web):
    assert len({web.ask("GET", "/healthz").headers["X-Request-Id"] for _ in range(50)}) == 50


OPERATIONS = [
    ("GET", "", None),
    ("DELETE", "", None),
    ("POST", "/bind", {"address": "127.0.0.1:0"}),
    ("POST", "/listen", {}),
    ("POST", "/connect", {"address": "127.0.0.1:1"}),
    ("POST", "/accept", {"timeout": 0}),
    ("POST", "/send", {"text": "x"}),
    ("POST", "/recv", {"timeout": 0}),
    ("POST", "/shutdown", {"how": "both"}),
    ("GET", "/options", None),
    ("GET", "/options/SO_TYPE", None),
    ("PUT", "/options/SO_KEEPALIVE", {"value": True}),
    ("GET", "/info", None),
]


@pytest.mark.parametrize(("method", "call", "body"), OPERATIONS)
@pytest.mark.parametrize("shape", ['"{other}"', 'W/"{own}"', '"{own}x"', "{own}", '"0", "{other}"', ""])
def test_if_match_of_another_socket_is_412(web: Web, method, call, body, shape):
    own = web.create()
    tag = shape.format(own=own["cookie"], other=own["cookie"] + 1)
    path = f"/v1/sockets/{own['fd']}{call}"
    assert web.refused(method, path, body, {"If-Match": tag}) == (412, "ESTALE")
    assert web.done("GET", f"/v1/sockets/{own['fd']}")["state"] == "created"


@pytest.mark.parametrize(
    "shape", ['"{own}"', "*", ' "{own}" ', '"1", "{own}"', 'W/"1","{own}"', '"a,b", "{own}"']
)
def test_if_match_of_this_socket_lets_it_pass(web: Web, shape):
    own = web.create()
    tag = {"If-Match": shape.format(own=own["cookie"])}
    for method, call, body in (OPERATIONS[0], *OPERATIONS[9:], OPERATIONS[1]):
        assert web.ask(method, f"/v1/sockets/{own['fd']}{call}", body, tag).status_code in (200, 204)


def test_if_match_on_a_name_that_does_not_exist_is_412(web: Web):
    assert web.refused("PUT", "/v1/names/web", {}, {"If-Match": '"1"'}) == (412, "ESTALE")
    assert web.done("GET", "/v1/")["sockets"] == 0


def test_unknown_socket_is_404_whatever_if_match_says(web: Web):
    assert web.refused("GET", "/v1/sockets/999", None, {"If-Match": '"1"'}) == (404, "EBADF")


def test_tcp_caller_needs_the_token():
    with serving(token="secret") as web, socket.create_server(("127.0.0.1", 0)) as server:
        ours = web.connection
        web.connection = socket.create_connection(server.getsockname())
        try:
            for given in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": "Basic secret"},
                {"Authorization": "ü"},
            ):
                assert web.refused("GET", "/v1/", None, given) == (401, "EACCES")
                assert web.refused(*CREATE, {}, given) == (401, "EACCES")
            assert web.done("GET", "/healthz") == {"status": "ok"}
            caller = web.done("GET", "/v1/", None, {"Authorization": "bearer secret"})["caller"]
            assert (caller["via"], caller["pid"]) == ("tcp", None)
        finally:
            web.connection.close()
            web.connection = ours


def test_client_that_is_gone_gets_nothing_taken():
    with serving() as web:
        left, right = web.pair()
        web.done("POST", f"/v1/sockets/{left}/send", b"kept")
        web.far_end.close()
        for timeout in (0, 1):
            answer = web.ask("POST", f"/v1/sockets/{right}/recv", {"timeout": timeout})
            assert (answer.status_code, answer.json["code"]) == (499, "client_gone")
        assert json.loads(web.ask("GET", f"/v1/sockets/{right}/info").text)["queues"]["unread_bytes"] == 4
