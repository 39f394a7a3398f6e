"""A page of another site gets nothing out of a browser; programs, and links to the pages, go on as before."""

from __future__ import annotations

import io
import re
import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from socketd.web import reference
from tests.web.in_process import JSON, check_problem, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.in_process import Web

BAD, FOREIGN_HOST, FOREIGN_ORIGIN = (400, "malformed_host"), (421, "foreign_host"), (403, "foreign_origin")
TOKEN = {"Authorization": "Bearer secret"}
VISIT = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.fixture(params=["unix", "tcp"])
def where(request: pytest.FixtureRequest) -> Iterator[Web]:
    """The application over either kind of connection."""
    with serving(token="secret") as web:
        if request.param == "unix":
            yield web
        else:
            with over_tcp(web):
                yield web


@contextmanager
def over_tcp(web: Web, address: str = "127.0.0.1", family: socket.AddressFamily = socket.AF_INET):
    """Have requests of the body come in over TCP, by the listener's side of a real connection."""
    ours = web.connection
    with (
        socket.create_server((address, 0), family=family, dualstack_ipv6=address == "::") as server,
        socket.create_connection(("127.0.0.1" if address == "::" else address, server.getsockname()[1])),
        server.accept()[0] as accepted,
    ):
        web.connection = accepted
        try:
            yield
        finally:
            web.connection = ours


def asked(
    web: Web, method: str = "POST", path: str = "/v1/sockets", **headers: str | None
) -> tuple[int, Any]:
    """Ask with these headers (``_`` is a dash); return the status, and the code of a refusal."""
    given = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    answer = web.ask(method, path, headers={**TOKEN, **given})
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]
    assert "Set-Cookie" not in answer.headers
    return answer.status_code, answer.json["code"] if answer.status_code >= 400 else None


def is_untouched(web: Web) -> bool:
    return len(web.service.table) == 0


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


def test_refusal_is_a_problem_like_all_others_and_is_not_remembered(where: Web):
    key = {**TOKEN, "Idempotency-Key": "once"}
    refused = where.ask("POST", "/v1/sockets", {}, {**key, "Host": "evil.example"})
    check_problem(refused)
    assert (refused.mimetype, refused.json["errno"]) == ("application/problem+json", "EACCES")
    assert "hosts" in refused.json["hint"]
    assert where.ask("POST", "/v1/sockets", {}, key, content_type=JSON).status_code == 201
