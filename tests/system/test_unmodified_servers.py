"""Servers that were written for ``socket.socket``, unmodified, on sockets that the daemon holds."""

from __future__ import annotations

import hashlib
import http.server
import os
import pty
import socket
import socketserver
import subprocess

import pytest

from tests.system.unmodified import BOUND_S, MEGABYTES, holding, served_beside

__all__ = ["holding"]  # a fixture


class Greeter(socketserver.StreamRequestHandler):
    """Asks who it is."""

    def handle(self) -> None:
        self.wfile.write(b"who? ")
        self.wfile.write(b"hello " + self.rfile.readline())


@pytest.mark.needs("telnet")
def test_telnet_at_a_terminal_talks_to_a_held_listener(holding):
    with holding(), served_beside(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeter)) as (host, port):
        ours, theirs = pty.openpty()
        try:
            with subprocess.Popen(
                ["telnet", "-E", host, str(port)], stdin=theirs, stdout=theirs, stderr=theirs
            ) as telnet:
                os.close(theirs)
                said = read_until(ours, b"who? ")
                assert b"Connected to" in said
                os.write(ours, b"held\n")
                assert b"hello held" in read_until(ours, b"closed by foreign host")
                assert telnet.wait(BOUND_S) is not None
        finally:
            os.close(ours)


def read_until(terminal: int, mark: bytes) -> bytes:
    """Read what a program writes on its terminal."""
    said = b""
    while mark not in said:
        try:
            said += os.read(terminal, 4096)
        except OSError:  # EIO: it has ended
            break
    assert mark in said, said
    return said


class Echo(socketserver.BaseRequestHandler):
    """Sends back what comes."""

    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)


@pytest.mark.parametrize("kind", [socketserver.TCPServer, socketserver.ThreadingTCPServer])
def test_socketserver_echoes(holding, kind):
    with holding(), served_beside(kind(("127.0.0.1", 0), Echo)) as address:
        assert holding.count() == 1
        for _ in range(3):
            with socket.create_connection(address, timeout=BOUND_S) as sock:
                sock.sendall(b"there and back")
                sock.shutdown(socket.SHUT_WR)
                with sock.makefile("rb") as file:
                    assert file.read() == b"there and back"


class EchoDatagram(socketserver.BaseRequestHandler):
    """Sends a datagram back."""

    def handle(self) -> None:
        data, sock = self.request
        sock.sendto(data.upper(), self.client_address)


def test_socketserver_answers_datagrams(holding):
    with (
        holding(),
        served_beside(socketserver.UDPServer(("127.0.0.1", 0), EchoDatagram)) as address,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.settimeout(BOUND_S)
        for word in (b"one", b"two"):
            sock.sendto(word, address)
            assert sock.recvfrom(100) == (word.upper(), address)


class Page(http.server.BaseHTTPRequestHandler):
    """Answers with megabytes, and says how many bytes came."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(MEGABYTES)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(hashlib.sha256(body).hexdigest().encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.mark.needs("curl")
def test_a_threaded_web_server_serves_several_at_once(holding, tmp_path):
    (tmp_path / "body").write_bytes(MEGABYTES)
    with holding(), served_beside(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)) as (host, port):
        url = f"http://{host}:{port}/"
        curl = ["curl", "-sS", "--max-time", str(BOUND_S)]
        getting = [subprocess.Popen([*curl, url], stdout=subprocess.PIPE) for _ in range(4)]
        for process in getting:
            assert process.communicate(timeout=BOUND_S)[0] == MEGABYTES
        posted = subprocess.run(
            [*curl, "--data-binary", f"@{tmp_path / 'body'}", url], capture_output=True, check=True
        )
        assert posted.stdout.decode() == hashlib.sha256(MEGABYTES).hexdigest()
