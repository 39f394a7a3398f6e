"""The daemon's certificates and keys: what it does not start with, warns of, and reloads."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.certificates import Pair
from tests.system.secured import (
    TOKEN,
    as_client,
    authority,
    client,
    flags,
    secured,
    server,
    stranger,
    with_token,
)

__all__ = ["authority", "client", "secured", "server", "stranger"]  # fixtures

pytestmark = pytest.mark.needs("openssl", "curl")


def test_new_certificate_is_in_force_after_a_reload_and_a_broken_one_never(
    secured, authority, stranger, server, tmp_path
):
    mine = Pair(str(tmp_path / "server.pem"), str(tmp_path / "server.key"))

    def put(pair: Pair) -> None:
        shutil.copy(pair.certificate, mine.certificate)
        shutil.copy(pair.key, mine.key)

    put(server)
    daemon = secured(tls_certificate=mine.certificate, tls_key=mine.key)
    assert daemon.curl(*with_token(TOKEN)).returncode == 0
    (tmp_path / "server.key").write_text("-----BEGIN PRIVATE KEY-----\nMIG")
    status = daemon.reload()
    assert f"not reloaded: tls_certificate {mine.certificate}" in status
    assert daemon.owner(*with_token(TOKEN))
    put(stranger.issue("localhost", "server"))
    assert "not reloaded" not in daemon.reload()
    done = daemon.curl(*with_token(TOKEN))
    assert done.returncode == 60  # curl's, for a certificate that nobody it knows vouches for
    put(authority.issue("localhost", "server"))
    daemon.reload()
    assert daemon.owner(*with_token(TOKEN))


def test_revoked_certificate_is_refused_and_its_connection_is_ended(secured, authority, client, tmp_path):
    ca = tmp_path / "client-ca.pem"
    shutil.copy(authority.certificate, ca)
    daemon = secured(tls_client_ca=str(ca))
    revoked = authority.issue("fired", "client")
    ask = b"GET /v1/caller HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with daemon.connected(revoked) as connection:
        connection.sendall(ask)
        assert connection.recv(8) == b"HTTP/1.1"
        shutil.copy(authority.revoke(revoked), ca)
        daemon.reload()
        assert b"".join(iter(lambda: connection.recv(65536), b"")).startswith(b" 200 ")  # and then it ends
    assert daemon.curl(*as_client(revoked)).returncode in {35, 56}
    assert daemon.owner(*as_client(client)) == {"certificate": "web1"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tls_certificate": "{folder}/none"}, "No such file or directory"),
        ({"tls_certificate": "{folder}/empty"}, "no certificate or no key in it"),
        ({"tls_key": "{folder}/other.key"}, "they do not belong together"),
        ({"tls_key": "{folder}/locked.key"}, "the key is encrypted"),
        ({"tls_key": "{folder}/open.key"}, "others may write it"),
        ({"tls_client_ca": "{folder}/empty"}, "no certificate in it"),
        ({"tls_client_ca": "{folder}"}, "Is a directory"),
    ],
)
def test_daemon_does_not_start_with_files_that_cannot_be(
    fresh_daemon, server, client, tmp_path, changes, says
):
    (tmp_path / "empty").touch()
    shutil.copy(client.key, tmp_path / "other.key")
    shutil.copy(server.key, tmp_path / "open.key")
    (tmp_path / "open.key").chmod(0o622)
    encrypt = ["openssl", "pkey", "-in", server.key, "-aes256", "-passout", "pass:x", "-out"]
    subprocess.run([*encrypt, str(tmp_path / "locked.key")], check=True, timeout=60)
    changed = {name: path.format(folder=tmp_path) for name, path in changes.items()}
    daemon = fresh_daemon(*flags(server, **changed), environ={"SOCKETD_TOKEN": TOKEN}, ready=False)
    log = daemon.check_end(2)
    assert says in log
    assert log.startswith(f"socketd: {next(iter(changes)) if 'tls_key' not in changes else 'tls_'}")
    assert log.count("\n") == 1


def test_key_that_every_user_may_read_is_warned_of(secured, server, tmp_path):
    key = tmp_path / "server.key"
    shutil.copy(server.key, key)
    key.chmod(0o644)
    daemon = secured(tls_key=str(key))
    assert f"tls_key {key}: every user may read it" in daemon.daemon.log


def test_any_address_may_be_served_with_tls_and_only_loopback_without(fresh_daemon, server):
    refused = fresh_daemon("--tcp", "0.0.0.0:0", ready=False)
    assert "beyond the loopback interface" in refused.check_end(2)
    daemon = fresh_daemon(*flags(server, tcp="0.0.0.0:0"), environ={"SOCKETD_TOKEN": TOKEN})
    daemon.await_log("https://0.0.0.0:")
