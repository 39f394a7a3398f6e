"""Bytes that are no HTTP request get the API's own form of error, and harm nobody else."""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.daemon_process import DaemonProcess

LONG = 9_000
FOLDED = b"GET / HTTP/1.1\r\nA: x\r\n y\r\n\r\n"


def ask(daemon: DaemonProcess, raw: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send bytes; return the answer, after which the connection must have ended."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(daemon.socket_path)
        client.sendall(raw)
        with http.client.HTTPResponse(client) as response:
            response.begin()
            body = response.read()
            assert client.recv(1) == b""
            return response.status, response.headers, body


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (FOLDED, 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na", 400),
        (b"GET /" + b"a" * LONG + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * LONG + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nExpect: the-unexpected\r\n\r\n", 417),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: rot13\r\n\r\n", 501),
    ],
)
def test_what_is_no_request_is_a_problem_and_ends_the_connection(daemon, raw, status):
    answered, headers, body = ask(daemon, raw)
    assert answered == status
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Connection"] == "close"
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem["code"] == "malformed_request"
    assert problem["errno"] == "EBADMSG"
    assert problem["instance"] == headers["X-Request-Id"]
    assert (problem["syscall"], problem["socket"], problem["hint"]) == (None, None, None)
    assert daemon.request("GET", "/healthz").status == 200


CHUNKED = (
    b"POST /v1/sockets HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"-1\r\n", b"2\r\n{}x\r\n0\r\n\r\n"])
def test_malformed_chunks_are_the_clients_error_and_end_the_connection(fresh_daemon, chunks):
    daemon = fresh_daemon()
    status, headers, body = ask(daemon, CHUNKED + chunks)
    assert status == 400
    assert headers["Content-Type"] == "application/problem+json"
    assert json.loads(body)["code"] == "malformed_body"
    assert daemon.request("GET", "/v1/sockets").json()["sockets"] == []
    daemon.stop()


def test_well_formed_chunks_are_a_body(daemon):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(daemon.socket_path)
        client.sendall(CHUNKED + b"1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n")
        with http.client.HTTPResponse(client) as response:
            response.begin()
            assert response.status == 201, response.read()


def test_half_a_request_holds_up_nobody(daemon):
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(daemon.socket_path)
        slow.sendall(b"GET /healthz HTT")
        assert daemon.request("GET", "/healthz").status == 200
        slow.sendall(b"P/1.1\r\nHost: x\r\n\r\n")
        with http.client.HTTPResponse(slow) as response:
            response.begin()
            assert response.status == 200


def test_client_that_leaves_in_the_middle_is_nobodys_trouble(fresh_daemon):
    daemon = fresh_daemon()
    for sent in (b"", b"GET /healthz HTT", b"POST /v1/sockets HTTP/1.1\r\nContent-Length: 10\r\n\r\n{"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(daemon.socket_path)
            client.sendall(sent)
        assert daemon.request("GET", "/healthz").status == 200
    assert daemon.request("GET", "/v1/sockets").json()["sockets"] == []
    daemon.stop()


def test_proxy_headers_are_not_believed(daemon):
    believed = {
        "X-Forwarded-For": "203.0.113.1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
    }
    assert daemon.request("GET", "/v1/", headers=believed).json()["caller"]["via"] == "unix"
    assert "evil.example" not in daemon.request("GET", "/v1/", headers=believed).body.decode()
