"""Who a certificate is, whom the daemon refuses before a request is read, and whom the SDK does."""

from __future__ import annotations

import json
import re

import pytest

from socketd_client import Client, ConnectError, Trust
from tests.socketctl_process import socketctl
from tests.system.secured import TOKEN, as_client, authority, client, secured, server, stranger, with_token

__all__ = ["authority", "client", "secured", "server", "stranger"]  # fixtures

pytestmark = pytest.mark.needs("openssl", "curl")


def test_what_is_no_proper_caller_is_refused(secured, authority, stranger, server):
    daemon = secured(tls_client_ca=authority.certificate)
    refused = {
        "nothing": daemon.curl("-o", "/dev/null", "-w", "%{http_code}"),
        "wrong token": daemon.curl(*with_token("wrong"), "-o", "/dev/null", "-w", "%{http_code}"),
    }
    assert {name: done.stdout for name, done in refused.items()} == dict.fromkeys(refused, "401")
    for pair in (
        stranger.issue("web1", "client"),
        authority.issue("expired", "client", is_expired=True),
        server,  # it may not be used by a client: extendedKeyUsage
    ):
        done = daemon.curl(*as_client(pair), *with_token(TOKEN))
        assert done.returncode in {35, 56}, done.stdout
        assert "alert" in done.stderr
        assert done.stdout == ""
    assert daemon.owner(*with_token(TOKEN))


def test_certificate_says_whose_sockets_they_are(secured, authority, client):
    daemon = secured(tls_client_ca=authority.certificate)
    assert daemon.owner(*as_client(client)) == {"certificate": "web1"}
    other = authority.issue("web2", "client")
    assert daemon.owner(*as_client(other)) == {"certificate": "web2"}
    assert "uid" in daemon.owner(*as_client(client), *with_token(TOKEN))


def test_certificate_without_a_name_is_nobody(secured, authority):
    daemon = secured(tls_client_ca=authority.certificate)
    nameless = authority.issue("nameless", "client", subject="/O=somebody")
    done = daemon.curl(*as_client(nameless))
    assert json.loads(done.stdout)["status"] == 401


def test_where_certificates_are_required_a_token_alone_is_not_enough(secured, authority, client):
    daemon = secured(tls_client_ca=authority.certificate, tls_client_required="true")
    assert daemon.curl(*with_token(TOKEN)).returncode in {35, 56}
    assert daemon.owner(*as_client(client)) == {"certificate": "web1"}


def test_certificate_is_not_asked_for_where_nobody_vouches_for_any(secured, client):
    daemon = secured()
    assert json.loads(daemon.curl(*as_client(client)).stdout)["status"] == 401


def test_sdk_refuses_whom_it_does_not_trust_and_shows_its_certificate(secured, authority, stranger, client):
    daemon = secured(tls_client_ca=authority.certificate)
    ca = authority.certificate
    distrusting = pytest.raises(ConnectError, match="certificate is not to be trusted")
    with Client(daemon.url, trust=Trust(stranger.certificate)) as known, distrusting:
        known.caller()
    foreign = stranger.issue("web1", "client")
    refused = pytest.raises(ConnectError, match="no TLS with")
    with Client(daemon.url, trust=Trust(ca, foreign.certificate, foreign.key)) as known, refused:
        known.caller()
    with Client(daemon.url, trust=Trust(ca, client.certificate, client.key)) as known:
        found = known.caller()
    assert (found.certificate, found.uid, found.via) == ("web1", None, "tcp")
    environ = {
        "SOCKETD_URL": daemon.url,
        "SOCKETD_CA": ca,
        "SOCKETD_CERT": client.certificate,
        "SOCKETD_KEY": client.key,
    }
    with Client.from_env(environ) as known:
        assert known.caller().certificate == "web1"


def test_whoami_tells_the_certificate_and_that_no_rule_is_for_it(secured, authority, client):
    daemon = secured(tls_client_ca=authority.certificate)
    files = ("--ca", authority.certificate, "--cert", client.certificate, "--key", client.key)
    done = socketctl(daemon.url, *files, "whoami")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(owner|via) +(.*)$", done.stdout, re.MULTILINE) == [
        ("owner", "certificate:web1"),
        ("via", "tcp"),
    ]
    assert "rule " not in done.stdout
