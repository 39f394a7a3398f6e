"""Which hosts are the daemon's own; a request for any other is refused before anything is done."""

from __future__ import annotations

import io
import socket
from typing import TYPE_CHECKING

import pytest

from tests.web.browsing import BAD, FOREIGN_HOST, TOKEN, asked, is_untouched, over_tcp, where
from tests.web.in_process import JSON, check_problem, serving

if TYPE_CHECKING:
    from tests.web.in_process import Web

__all__ = ["where"]  # fixtures


@pytest.mark.parametrize(
    ("host", "refusal"),
    [
        ("evil.example", FOREIGN_HOST),
        ("evil.example:80", FOREIGN_HOST),
        ("EVIL.example.", FOREIGN_HOST),
        ("localhost.evil.example", FOREIGN_HOST),
        ("127.0.0.1.evil.example", FOREIGN_HOST),
        ("127.0.0.1.nip.io", FOREIGN_HOST),
        ("a.local", FOREIGN_HOST),
        ("localhost..", FOREIGN_HOST),
        ("198.51.100.7", FOREIGN_HOST),
        ("0.0.0.0:8080", FOREIGN_HOST),
        ("localhost,evil.example", BAD),
        ("localhost evil.example", BAD),
        ("localhost:", None),
        ("localhost:80:80", BAD),
        ("localhost:eighty", BAD),
        ("localhost:123456", BAD),
        ("evil.example@localhost", BAD),
        ("localhost@evil.example", BAD),
        ("localhost/", BAD),
        ("localhost#x", BAD),
        ("localhost?x", BAD),
        ("[::1", BAD),
        ("::1", BAD),
        ("[::1]x", BAD),
        ("[evil.example]", BAD),
        ("[fd00::1]", FOREIGN_HOST),
        ("x" * 300, BAD),
        ("münchen.example", BAD),
    ],
)
def test_host_that_is_not_ours_is_refused_before_anything_is_done(where: Web, host, refusal):
    is_v6_on_unix = host == "[fd00::1]" and where.connection.family == socket.AF_UNIX
    if is_v6_on_unix:
        refusal = None  # no name server is asked for it, and it has no dot
    assert asked(where, Host=host) == (refusal or (201, None))
    assert is_untouched(where) == (refusal is not None)


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:8080", "localhost.", "127.0.0.1", "127.0.0.1:9", "[::1]", "[0:0::1]:80"]
)
def test_names_of_the_own_host_are_ours(where: Web, host):
    assert asked(where, Host=host) == (201, None)


@pytest.mark.parametrize(
    "host",
    ["x", "docker", "d", "api.moby.localhost", "%2Frun%2Fsocketd%2Fapi.sock", "2f72756e:0", "a_b", ""],
)
def test_what_clients_of_unix_sockets_put_there_is_taken_on_a_unix_socket(host):
    with serving(token="secret") as web:
        assert asked(web, Host=host) == (201, None)
        if host:
            with over_tcp(web):
                assert asked(web, Host=host) == FOREIGN_HOST


@pytest.mark.parametrize(
    ("listener", "host", "answer"),
    [
        ("127.0.0.1", "127.5.5.5", (201, None)),
        ("::1", "[::1]:80", (201, None)),
        ("::", "127.0.0.1:80", (201, None)),
        ("::", "[::ffff:127.0.0.1]", (201, None)),
        ("::1", "[::2]", FOREIGN_HOST),
        ("::1", "192.0.2.1", FOREIGN_HOST),
        ("::", "[::]", FOREIGN_HOST),
    ],
)
def test_the_address_that_a_connection_came_to_is_ours(listener, host, answer):
    family = socket.AF_INET6 if ":" in listener else socket.AF_INET
    with serving(token="secret") as web, over_tcp(web, listener, family):
        assert asked(web, Host=host) == answer


def test_names_that_were_configured_are_ours_and_no_others(where: Web):
    where.app.extensions["socketd"].settings.hosts = ("sockets.example", "[fd00::5]")
    for host in ("sockets.example", "Sockets.Example:443", "sockets.example.", "[FD00:0::5]:80"):
        assert asked(where, Host=host) == (201, None)
    for host in ("a.sockets.example", "example", "sockets.example.evil.example"):
        is_local = "." not in host and where.connection.family == socket.AF_UNIX
        assert asked(where, Host=host) == ((201, None) if is_local else FOREIGN_HOST)


@pytest.mark.parametrize(
    ("target", "host", "refusal"),
    [
        ("http://evil.example/v1/sockets", "localhost", BAD),
        ("http://localhost/v1/sockets", "evil.example", BAD),
        ("http://evil.example/v1/sockets", "evil.example", FOREIGN_HOST),
        ("http://localhost@evil.example/v1/sockets", "localhost", BAD),
        ("http://localhost:81/v1/sockets", "localhost:80", BAD),
        ("http:///v1/sockets", "localhost", BAD),
        ("v1/sockets", "localhost", BAD),
        ("evil.example:80", "localhost", BAD),
        ("http://LOCALHOST/v1/sockets", "localhost", (201, None)),
    ],
)
def test_target_with_a_host_of_its_own_is_for_the_same_one_as_host(where: Web, target, host, refusal):
    answer = where.app.test_client().post(
        "/v1/sockets",
        headers={**TOKEN, "Host": host},
        environ_overrides={"gunicorn.socket": where.connection, "RAW_URI": target},
    )
    code = answer.json["code"] if answer.status_code >= 400 else None
    assert (answer.status_code, code) == refusal


def test_http_1_1_without_host_is_400_and_http_1_0_is_not(where: Web):
    for version, answer in (("HTTP/1.1", BAD), ("HTTP/1.0", (201, None))):
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/v1/sockets",
            "SERVER_PROTOCOL": version,
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "CONTENT_LENGTH": "0",
            "HTTP_AUTHORIZATION": "Bearer secret",
            "gunicorn.socket": where.connection,
        }
        with where.app.request_context(environ):
            got = where.app.full_dispatch_request()
        code = got.json["code"] if got.status_code >= 400 else None
        assert (got.status_code, code) == answer


def test_refusal_is_a_problem_like_all_others_and_is_not_remembered(where: Web):
    key = {**TOKEN, "Idempotency-Key": "once"}
    refused = where.ask("POST", "/v1/sockets", {}, {**key, "Host": "evil.example"})
    check_problem(refused)
    assert (refused.mimetype, refused.json["errno"]) == ("application/problem+json", "EACCES")
    assert "hosts" in refused.json["hint"]
    assert where.ask("POST", "/v1/sockets", {}, key, content_type=JSON).status_code == 201
