"""Streams with a real curl and a real daemon: files both ways, over TLS, and connections that serve on."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.certificates import Authority
from tests.system import hogs
from tests.system.streams import STREAMED, curl, digest_of, file, held, held_in, put_head

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from tests.daemon_process import DaemonProcess
    from tests.system.streams import Fresh, Held

__all__ = ["file", "held"]  # fixtures

pytestmark = [pytest.mark.needs("curl"), pytest.mark.timeout(60)]


@pytest.mark.parametrize("how", ["file", "-"])
def test_file_goes_up_whole_and_its_end_is_passed_on(daemon: DaemonProcess, held: Held, file: Path, how: str):
    found: dict[str, Any] = {}
    reading = held.read_in_background(found)
    source = "-" if how == "-" else str(file)
    with file.open("rb") as body:
        told = subprocess.run(
            [
                *("curl", "-sS", "--unix-socket", daemon.socket_path),
                *("-T", source, f"{held.url}?shutdown=write"),
            ],
            stdin=body,
            capture_output=True,
            timeout=120,
            check=True,
        )
    reading.join()
    assert json.loads(told.stdout) == {"sent": STREAMED, "complete": True}
    with file.open("rb") as body:
        assert (found["digest"], found["size"]) == digest_of(iter(lambda: body.read(1 << 20), b""))


def test_file_comes_down_whole(daemon: DaemonProcess, held: Held, file: Path):
    with curl(daemon, held.url) as process, file.open("rb") as body:
        sending = threading.Thread(target=lambda: (held.peer.sendfile(body), held.peer.close()))
        sending.start()
        assert process.stdout is not None
        out = process.stdout
        came = digest_of(iter(lambda: out.read(1 << 20), b""))
        sending.join()
        assert process.wait(60) == 0
    with file.open("rb") as body:
        assert came == digest_of(iter(lambda: body.read(1 << 20), b""))


def test_expectation_is_met_before_the_body_is_sent(daemon: DaemonProcess, held: Held):
    with hogs.connected(daemon) as client:
        client.sendall(put_head(held.path, 5, "Expect: 100-continue"))
        assert client.recv(100).startswith(b"HTTP/1.1 100 Continue")
        client.sendall(b"hello")
        assert hogs.answer(client)[0] == 200
    assert held.peer.recv(100) == b"hello"


def test_connection_serves_on_after_both_streams(daemon: DaemonProcess, held: Held):
    connection = daemon.connection()
    try:
        for body in (b"first", b"second"):
            connection.request("PUT", held.path, body)
            assert json.loads(connection.getresponse().read())["sent"] == len(body)
        held.peer.sendall(b"answer")
        held.peer.shutdown(socket.SHUT_WR)
        connection.request("GET", held.path)
        assert connection.getresponse().read() == b"answer"
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
    finally:
        connection.close()


def test_pipelined_request_behind_an_upload_is_served(daemon: DaemonProcess, held: Held):
    with hogs.connected(daemon) as client:
        last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        client.sendall(put_head(held.path, 4) + b"body" + last)
        assert hogs.await_end(client).count(b"HTTP/1.1 200") == 2
    assert held.peer.recv(100) == b"body"


def test_head_of_a_stream_leaves_before_anything_comes(daemon: DaemonProcess, held: Held):
    with hogs.connected(daemon) as client:
        client.sendall(f"GET {held.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        with http.client.HTTPResponse(client) as response:
            response.begin()
            assert response.status == 200
            held.peer.sendall(b"x")
            assert response.read(1) == b"x"


@pytest.mark.needs("openssl")
def test_streams_go_through_tls(fresh_daemon: Fresh, file: Path, tmp_path: Path):
    authority = Authority(tmp_path / "authority")
    pair = authority.issue("localhost", "server")
    flags = ("--tcp", "127.0.0.1:0", "--tls-certificate", pair.certificate, "--tls-key", pair.key)
    daemon = fresh_daemon(*flags, environ={"SOCKETD_TOKEN": "a-token"})
    daemon.await_log("https://")
    found = re.search(r"https://127\.0\.0\.1:[0-9]+", daemon.log)
    assert found is not None
    told = {"cacert": authority.certificate, "oauth2-bearer": "a-token"}
    options = [word for name, value in told.items() for word in (f"--{name}", value)]
    with held_in(daemon) as held:
        digests: dict[str, Any] = {}
        reading = held.read_in_background(digests)
        url = f"{found[0]}{held.path}"
        up = subprocess.run(
            ["curl", "-sS", *options, "-T", str(file), f"{url}?shutdown=write"],
            capture_output=True,
            timeout=120,
            check=True,
        )
        assert json.loads(up.stdout)["sent"] == STREAMED
        reading.join()
    with held_in(daemon) as held, file.open("rb") as body:
        sending = threading.Thread(target=lambda: (held.peer.sendfile(body), held.peer.close()))
        sending.start()
        down = subprocess.run(
            ["curl", "-sSN", *options, f"{found[0]}{held.path}"], capture_output=True, timeout=120, check=True
        )
        sending.join()
    assert digests["digest"] == hashlib.sha256(down.stdout).hexdigest()
    daemon.stop()
