"""A page of another site gets nothing out of a browser; programs, and links to the pages, go on as before."""

from __future__ import annotations

import re
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from socketd.web import reference
from tests.web.browsing import FOREIGN_HOST, FOREIGN_ORIGIN, TOKEN, asked, is_untouched, over_tcp, where
from tests.web.in_process import serving

if TYPE_CHECKING:
    from tests.web.in_process import Web

__all__ = ["where"]  # fixtures

VISIT = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.parametrize(
    ("host", "origin", "answer"),
    [
        ("localhost", "http://evil.example", FOREIGN_ORIGIN),
        ("localhost", "null", FOREIGN_ORIGIN),
        ("localhost", "", FOREIGN_ORIGIN),
        ("localhost", "file://", FOREIGN_ORIGIN),
        ("localhost", "chrome-extension://abcdef", FOREIGN_ORIGIN),
        ("localhost", "https://localhost", FOREIGN_ORIGIN),
        ("localhost:8080", "http://localhost", FOREIGN_ORIGIN),
        ("localhost:8080", "http://localhost:3000", FOREIGN_ORIGIN),
        ("localhost:8080", "http://127.0.0.1:8080", FOREIGN_ORIGIN),
        ("localhost:8080", "http://a.localhost:8080", FOREIGN_ORIGIN),
        ("localhost:8080", "http://localhost:8080.evil.example", FOREIGN_ORIGIN),
        ("localhost:8080", "http://localhost:8080 http://evil.example", FOREIGN_ORIGIN),
        ("localhost:8080", "http://localhost:8080,http://evil.example", FOREIGN_ORIGIN),
        ("localhost:8080", "http://localhost:8080/", FOREIGN_ORIGIN),
        ("localhost:8080", "http://localhost:8080", (201, None)),
        ("evil.example", "http://evil.example", FOREIGN_HOST),
    ],
)
def test_origin_is_ours_or_refused(where: Web, host, origin, answer):
    assert asked(where, Host=host, Origin=origin) == answer
    assert is_untouched(where) == (answer[0] != 201)


def test_over_tls_our_origin_is_an_https_one():
    # Its family and its end are all that is asked of the connection, so no handshake is made.
    waits = {"server_side": True, "do_handshake_on_connect": False}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with (
        serving(token="secret") as web,
        over_tcp(web),
        context.wrap_socket(web.connection, **waits) as secure,
    ):
        web.connection = secure
        assert asked(web, Host="localhost:8080", Origin="http://localhost:8080") == FOREIGN_ORIGIN
        assert asked(web, Host="localhost:8080", Origin="https://localhost:8080") == (201, None)


@pytest.mark.parametrize(
    ("site", "answer"),
    [
        ("cross-site", FOREIGN_ORIGIN),
        ("same-site", FOREIGN_ORIGIN),
        ("Cross-Site", FOREIGN_ORIGIN),
        ("", FOREIGN_ORIGIN),
        ("what-comes-next", FOREIGN_ORIGIN),
        ("none, cross-site", FOREIGN_ORIGIN),
        ("same-origin", (201, None)),
        ("none", (201, None)),
    ],
)
def test_page_of_another_site_is_refused_though_its_origin_is_not_told(where: Web, site, answer):
    assert asked(where, Sec_Fetch_Site=site) == answer
    assert is_untouched(where) == (answer[0] != 201)


@pytest.mark.parametrize("path", ["/v1/", "/v1/sockets", "/healthz", "/nowhere", "/v1/process/fds/1"])
def test_whatever_the_path_another_site_learns_nothing_of_it(where: Web, path):
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "PATCH"):
        for headers in ({"Sec_Fetch_Site": "cross-site"}, {"Origin": "null"}):
            assert asked(where, method, path, **headers) == FOREIGN_ORIGIN


def test_preflight_gets_no_leave(where: Web):
    asks = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-type"}
    assert asked(where, "OPTIONS", Origin="http://evil.example", **asks) == FOREIGN_ORIGIN
    assert asked(where, "OPTIONS", **asks) == (200, None)  # of a program: and no Access-Control header


@pytest.mark.parametrize("path", ["/docs", "/docs/errors", "/openapi.yaml"])
def test_link_of_another_site_opens_a_page_and_nothing_but_a_link_does(where: Web, path):
    answer = where.ask("GET", path, headers=VISIT)
    assert answer.status_code == 200
    for changed in (
        {"Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Mode": "cors"},
        {"Origin": "http://evil.example"},
    ):
        refused = where.ask("GET", path, headers={**VISIT, **changed})
        assert (refused.status_code, refused.json["code"]) == FOREIGN_ORIGIN
    assert where.ask("POST", path, headers=VISIT).status_code == 403


def test_link_of_another_site_opens_nothing_of_the_api(where: Web):
    for path in ("/v1/", "/v1/sockets", "/healthz", "/v1/process/fds"):
        answer = where.ask("GET", path, headers={**TOKEN, **VISIT})
        assert (answer.status_code, answer.json["code"]) == FOREIGN_ORIGIN


def test_page_may_be_framed_by_nobody_and_loads_nothing(where: Web):
    policy = where.ask("GET", "/docs").headers["Content-Security-Policy"]
    assert policy == reference.POLICY
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"):
        assert re.search(f"(^|; ){rule}(;|$)", policy)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_body_that_needs_no_preflight_is_read_by_no_operation(where: Web, kind):
    """Also without any header of a browser: one that is too old to send them sends these."""
    where.ask("POST", "/v1/socketpairs", {"names": ["a", "b"]}, TOKEN)
    held = len(where.service.table)
    for method, path in (
        ("POST", "/v1/sockets"),
        ("POST", "/v1/socketpairs"),
        ("POST", "/v1/sockets/a/bind"),
        ("POST", "/v1/sockets/a/listen"),
        ("POST", "/v1/sockets/a/connect"),
        ("POST", "/v1/sockets/a/accept"),
        ("POST", "/v1/sockets/a/send"),
        ("POST", "/v1/sockets/a/recv"),
        ("POST", "/v1/sockets/a/shutdown"),
        ("POST", "/v1/sockets/give"),
        ("POST", "/v1/sockets/take"),
        ("POST", "/v1/poll"),
        ("PUT", "/v1/names/c"),
        ("PUT", "/v1/sockets/a/options/SO_KEEPALIVE"),
    ):
        answer = where.ask(method, path, b'{"type": "stream", "x": "="}', TOKEN, content_type=kind)
        over_tcp_only = where.connection.family != socket.AF_UNIX and path.endswith(("/give", "/take"))
        assert answer.status_code == 415 or (over_tcp_only and answer.status_code == 409), (path, answer.text)
    assert len(where.service.table) == held
