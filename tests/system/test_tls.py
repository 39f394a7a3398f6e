"""TLS on the TCP address: which versions, handshakes that never end, and waits."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from contextlib import ExitStack

import pytest

from socketd_client import Client, Trust
from tests.system.place import await_true
from tests.system.secured import TOKEN, authority, secured, server, with_token

__all__ = ["authority", "secured", "server"]  # fixtures

pytestmark = pytest.mark.needs("openssl", "curl")


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
