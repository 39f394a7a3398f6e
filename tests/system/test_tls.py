"""TLS on the TCP address: what is refused before a request is read, who a certificate is, and reloads."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import Client, ConnectError, Trust
from tests.certificates import Authority, Pair
from tests.socketctl_process import socketctl
from tests.system.place import await_true

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.daemon_process import DaemonProcess

pytestmark = pytest.mark.needs("openssl", "curl")
TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    """Who signs for the daemon and for its clients."""
    return Authority(tmp_path_factory.mktemp("pki") / "authority")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory) -> Authority:
    """Another one, of which the daemon knows nothing."""
    return Authority(tmp_path_factory.mktemp("pki") / "stranger")


@pytest.fixture(scope="module")
def server(authority) -> Pair:
    """The daemon's certificate."""
    return authority.issue("localhost", "server")


@pytest.fixture(scope="module")
def client(authority) -> Pair:
    """A client's."""
    return authority.issue("web1", "client")


class Secured:
    """A daemon with TLS, and how a test asks it."""

    def __init__(self, daemon: DaemonProcess, authority: Authority) -> None:
        self.daemon = daemon
        self.url = re.search(r"https://127\.0\.0\.1:[0-9]+", daemon.log)[0]
        self.port = int(self.url.rpartition(":")[2])
        self.ca = authority.certificate

    def curl(self, *arguments: str, path: str = "/v1/caller") -> subprocess.CompletedProcess[str]:
        """Run the real curl on it."""
        command = ["curl", "-sS", "-m", "30", "--cacert", self.ca, *arguments, self.url + path]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def owner(self, *arguments: str) -> dict[str, Any]:
        """Ask who one is."""
        done = self.curl(*arguments)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        return {kind: found[kind] for kind in ("uid", "token", "certificate") if found[kind] is not None}

    @contextmanager
    def connected(self, pair: Pair | None = None, **options: Any) -> Iterator[ssl.SSLSocket]:
        """Connect by Python's own TLS."""
        context = ssl.create_default_context(cafile=self.ca)
        for name, value in options.items():
            setattr(context, name, value)
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        bare = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        with bare, context.wrap_socket(bare, server_hostname="localhost") as connection:
            yield connection

    def reload(self) -> str:
        """Have it read its files again; return its status."""
        self.daemon.process.send_signal(signal.SIGHUP)
        self.daemon.await_notification("RELOADING=1")
        return self.daemon.await_notification("READY=1")["STATUS"]


def flags(server: Pair, **more: str) -> list[str]:
    keys = {"tcp": "127.0.0.1:0", "tls_certificate": server.certificate, "tls_key": server.key, **more}
    return [word for name, value in keys.items() for word in ("--" + name.replace("_", "-"), value)]


@pytest.fixture
def secured(fresh_daemon, authority, server) -> Callable[..., Secured]:
    """Start daemons with TLS and keys besides."""

    def start(**more: str) -> Secured:
        daemon = fresh_daemon(*flags(server, **more), environ={"SOCKETD_TOKEN": more.pop("plain", TOKEN)})
        daemon.await_log("https://")
        return Secured(daemon, authority)

    return start


def as_client(pair: Pair) -> tuple[str, ...]:
    return "--cert", pair.certificate, "--key", pair.key


def with_token(token: str) -> tuple[str, str]:
    return "-H", f"Authorization: Bearer {token}"


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


def test_plain_http_is_told_to_use_tls_and_the_unix_socket_needs_none(secured):
    daemon = secured()
    done = subprocess.run(
        ["curl", "-sS", "-m", "30", f"http://127.0.0.1:{daemon.port}/v1/"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert json.loads(done.stdout)["status"] == 400
    assert "https://" in done.stdout
    assert daemon.daemon.request("GET", "/v1/").status == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_tls_before_1_2_is_refused(secured, version):
    daemon = secured()
    with pytest.raises(ssl.SSLError), daemon.connected(minimum_version=version, maximum_version=version):
        pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_since_1_2_is_served_and_its_end_is_told(secured, version):
    daemon = secured()
    with daemon.connected(minimum_version=version, maximum_version=version) as connection:
        connection.suppress_ragged_eofs = False  # an end without close_notify would be an error
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_client_that_never_finishes_its_handshake_is_cut_off_and_others_are_served(secured):
    daemon = secured()
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=60) as silent:
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=60) as half:
            half.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # of a ClientHello
            assert daemon.owner(*with_token(TOKEN))
            assert half.recv(1) == b""
        assert silent.recv(1) == b""
    assert daemon.owner(*with_token(TOKEN))


def test_daemon_ends_without_waiting_for_a_handshake(secured):
    daemon = secured(graceful_timeout_s="60")
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=60) as silent:
        assert daemon.owner(*with_token(TOKEN))  # by then the first connection is accepted too
        daemon.daemon.stop()
        assert silent.recv(1) == b""


def test_wait_over_tls_ends_when_its_client_goes(secured):
    daemon = secured()
    made = daemon.daemon.request("POST", "/v1/sockets", {"bind": "127.0.0.1:0", "listen": True}).json()
    request = (
        f"POST /v1/sockets/{made['fd']}/accept HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 15\r\n\r\n"
        '{"timeout": 60}'
    )
    with daemon.connected() as connection:
        connection.sendall(request.encode())
        daemon.daemon.await_notification(
            f"STATUS=serving {daemon.daemon.url}, {daemon.url}: 1 sockets held, 1 calls waiting"
        )
    daemon.daemon.await_notification(
        f"STATUS=serving {daemon.daemon.url}, {daemon.url}: 1 sockets held, 0 calls waiting"
    )


def test_wait_over_tls_is_answered(secured):
    daemon = secured()
    with Client(daemon.url, token=TOKEN, trust=Trust(ca=daemon.ca)) as known:
        listener = known.sockets.create(bind=("127.0.0.1", 0), listen=True)
        accepted = []
        thread = threading.Thread(target=lambda: accepted.append(listener.accept()))
        thread.start()
        with socket.create_connection(listener.getsockname()[:2], timeout=30) as near:
            thread.join(30)
            far, _ = accepted[0]
            data = b"x" * 1_000_000
            sender = threading.Thread(target=far.sendall, args=(data,))
            sender.start()
            received = 0
            while received < len(data):
                received += len(near.recv(65536))
            sender.join(30)


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


def test_no_handshake_leaves_a_descriptor_behind(secured):
    daemon = secured()
    daemon.owner(*with_token(TOKEN))
    before = daemon.daemon.descriptors()
    with ExitStack() as opened:
        plain, broken = (
            [opened.enter_context(socket.create_connection(("127.0.0.1", daemon.port), 30)) for _ in range(5)]
            for _ in range(2)
        )
        for each in broken:  # all at once: each is waited for as long as a handshake may take
            each.sendall(b"\x16\x03\x01\x00\x02xx")
        for each in plain:
            each.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert each.recv(100).startswith(b"HTTP/1.1 400 ")
        for each in broken:
            while each.recv(100):
                pass
    await_true(
        lambda: len(daemon.daemon.descriptors()) <= len(before), lambda: str(daemon.daemon.descriptors())
    )


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
