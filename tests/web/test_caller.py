"""Who a request is by: tokens and certificates over TCP, and what one is told of oneself."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from socketd.access import tokens
from socketd.access.tokens import Token, Tokens
from socketd.core.owner import Owner
from socketd.errors import UnauthenticatedError
from socketd.web.identity import identify
from tests.web.in_process import serving, web

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["web"]  # a fixture

FUTURE = "Jan  1 00:00:00 2100 GMT"


class Connection:
    """What identify looks at in a connection: of which family it is, and the certificate TLS has verified."""

    family = socket.AF_INET

    def __init__(self, certificate: dict[str, Any] | None = None) -> None:
        self._certificate = certificate

    def getpeercert(self) -> dict[str, Any] | None:
        """Return it, as ``ssl`` does."""
        return self._certificate


def by_token(authorization: str | None, known: Tokens, certificate: dict[str, Any] | None = None) -> Owner:
    environ: dict[str, Any] = {"gunicorn.socket": Connection(certificate)}
    if authorization is not None:
        environ["HTTP_AUTHORIZATION"] = authorization
    caller = identify(environ, known)
    assert caller.via == "tcp"
    assert caller.pid is None
    return caller.owner


def certificate(*subject: tuple[str, str], until: str = FUTURE, **alternatives: str) -> dict[str, Any]:
    return {
        "notAfter": until,
        "subject": tuple((pair,) for pair in subject),
        "subjectAltName": tuple(alternatives.items()),
    }


@pytest.fixture
def known() -> Tokens:
    """Tokens: one that is good, one that is over."""
    return Tokens(
        [
            Token(Owner(token="ci"), tokens.digest_of("good-token")),
            Token(Owner(token="old"), tokens.digest_of("old-token"), time.time() - 1),
        ]
    )


@pytest.mark.parametrize(
    ("authorization", "says"),
    [
        (None, "asks for a bearer token"),
        ("", "asks for a bearer token"),
        ("good-token", "asks for a bearer token"),
        ("Basic good-token", "asks for a bearer token"),
        ("Bearer", "no such token"),
        ("Bearer ", "no such token"),
        ("Bearer wrong", "no such token"),
        ("Bearer  good-token", "no such token"),
        ("Bearer good-token ", "no such token"),
        ("Bearer good-token,Bearer good-token", "no such token"),
        ("Bearer old-token", "expired"),
    ],
)
def test_who_does_not_say_who_it_is_is_refused(known, authorization, says):
    with pytest.raises(UnauthenticatedError, match=says):
        by_token(authorization, known)


def test_token_names_its_owner_and_a_wrong_one_is_not_made_good_by_a_certificate(known):
    shown = certificate(("commonName", "web1"))
    assert by_token("Bearer good-token", known) == Owner(token="ci")
    assert by_token("bearer good-token", known, shown) == Owner(token="ci")
    with pytest.raises(UnauthenticatedError):
        by_token("Bearer wrong", known, shown)


@pytest.mark.parametrize(
    "shown",
    [
        {},
        certificate(),
        certificate(("organizationName", "web1")),
        certificate(("commonName", "")),
        certificate(("commonName", "web1\x00.example")),
        certificate(("commonName", "x" * 300)),
        certificate(("commonName", "web1"), ("commonName", "root")),
        certificate(until="Jan  1 00:00:00 2020 GMT"),
        certificate(("commonName", "web1"), until="Jan  1 00:00:00 2020 GMT"),
        certificate(DirName="web1"),
    ],
)
def test_certificate_that_names_nobody_is_refused(shown):
    with pytest.raises(UnauthenticatedError):
        by_token(None, Tokens(), shown)


@pytest.mark.parametrize(
    ("shown", "name"),
    [
        (certificate(("organizationName", "x"), ("commonName", "web1"), DNS="other"), "web1"),
        (certificate(DNS="web1.example", URI="spiffe://x/y"), "web1.example"),
        (certificate(URI="spiffe://x/y", email="a@example.org"), "spiffe://x/y"),
    ],
)
def test_certificate_names_its_owner(shown, name):
    assert by_token(None, Tokens(), shown) == Owner(certificate=name)


def test_the_daemons_own_token_makes_one_its_user():
    known = Tokens([Token(Owner(os.getuid()), tokens.digest_of("secret"))])
    caller = identify({"gunicorn.socket": Connection(), "HTTP_AUTHORIZATION": "Bearer secret"}, known)
    assert caller.owner == Owner(os.getuid())
    assert os.getgid() in caller.groups


@pytest.fixture
def over_tcp() -> Iterator[socket.socket]:
    """A connection over TCP, the server's end."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as end,
    ):
        yield end


def test_caller_without_a_name_learns_nothing(over_tcp):
    with serving(token="secret") as known:
        known.connection.close()
        known.connection = over_tcp
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            answer = known.ask("GET", "/v1/caller", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="socketd"'
            assert "uid" not in answer.json


def test_caller_is_told_who_it_is(web):
    found = web.done("GET", "/v1/caller")
    assert found["uid"] == os.getuid()
    assert found["pid"] == os.getpid()
    assert found["via"] == "unix"
    assert {os.getgid(), *os.getgroups()} == {group["gid"] for group in found["groups"]}
    assert (found["token"], found["certificate"]) == (None, None)


def test_caller_is_told_how_many_sockets_it_has(web):
    assert web.done("GET", "/v1/caller")["quota"]["sockets"]["used"] == 0
    web.create(family="inet", type="stream")
    assert web.done("GET", "/v1/caller")["quota"]["sockets"]["used"] == 1


def test_caller_takes_no_query_and_no_other_method(web):
    assert web.refused("GET", "/v1/caller?uid=0")[0] == 422
    assert web.refused("POST", "/v1/caller", {})[0] == 405


def test_caller_is_told_the_rules_that_are_for_it(web):
    found = web.done("GET", "/v1/caller")
    assert found["policy"] == web.service.guard.policy.source
    by_name = {rule["name"]: rule["grants"] for rule in found["rules"]}
    assert by_name["anyone"]["bind"] == "*"
    assert by_name["anyone"]["take"] is True
    assert found["quota"]["sockets"]["most"] is None
