"""Within ``installed``: servers and clients that know nothing of socketd, on held sockets."""

from __future__ import annotations

import asyncio
import http.client
import http.server
import logging
import logging.handlers
import poplib
import socket
import socketserver
import threading
import urllib.request
import xmlrpc.client
import xmlrpc.server
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests

from socketd_client import Client, Socket, Taken, installed

if TYPE_CHECKING:
    from collections.abc import Iterator

BOUND_S = 30.0
LOOPBACK = ("127.0.0.1", 0)


@pytest.fixture(params=[None, "descriptor"])
def prefer(request: pytest.FixtureRequest) -> Any:
    return request.param


@contextmanager
def served(server: socketserver.BaseServer) -> Iterator[tuple[str, int]]:
    """Serve in a thread until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[:2]  # type: ignore[misc]  # a tuple for every Internet server
    finally:
        server.shutdown()
        thread.join(BOUND_S)
        server.server_close()


class Hello(http.server.BaseHTTPRequestHandler):
    """Says hello, and what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._say(b"hello")

    def do_POST(self) -> None:
        self._say(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *_args: object) -> None:
        """Stay silent."""

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Pop3(socketserver.StreamRequestHandler):
    """As much of POP3 as it takes to quit."""

    def handle(self) -> None:
        self.wfile.write(b"+OK hello\r\n")
        while line := self.rfile.readline():
            self.wfile.write(b"+OK 2 320\r\n" if line.startswith(b"STAT") else b"+OK\r\n")
            if line.startswith(b"QUIT"):
                return


def test_http_clients_and_a_threaded_server(client: Client, prefer: Any):
    with installed(client, prefer=prefer):
        server = http.server.ThreadingHTTPServer(LOOPBACK, Hello)
        server.daemon_threads = False  # closing it waits for what its threads close
        assert isinstance(server.socket, Taken if prefer else Socket)
        with served(server) as (host, port):
            connection = http.client.HTTPConnection(host, port, timeout=BOUND_S)
            for _ in range(3):
                connection.request("POST", "/", body=b"x" * 100_000)
                assert connection.getresponse().read() == b"x" * 100_000
            assert isinstance(connection.sock, Taken if prefer else Socket)
            connection.close()
            with urllib.request.urlopen(f"http://{host}:{port}/", timeout=BOUND_S) as answer:
                assert answer.read() == b"hello"
            with requests.Session() as session:
                for _ in range(3):
                    assert session.get(f"http://{host}:{port}/", timeout=BOUND_S).text == "hello"
    assert list(client.sockets.list()) == []


def test_xmlrpc(client: Client, prefer: Any):
    with installed(client, prefer=prefer):
        server = xmlrpc.server.SimpleXMLRPCServer(LOOPBACK, logRequests=False)
        server.register_function(pow)
        with served(server) as (host, port), xmlrpc.client.ServerProxy(f"http://{host}:{port}") as proxy:
            assert proxy.pow(2, 9) == 512
    assert list(client.sockets.list()) == []


def test_poplib(client: Client, prefer: Any):
    with installed(client, prefer=prefer):
        server = socketserver.ThreadingTCPServer(LOOPBACK, Pop3)
        with served(server) as (host, port):
            mailbox = poplib.POP3(host, port, timeout=BOUND_S)
            assert mailbox.stat() == (2, 320)
            mailbox.quit()
    assert list(client.sockets.list()) == []


def test_log_handler_that_writes_to_a_held_socket_does_not_recurse(client: Client):
    root = logging.getLogger()
    level = root.level
    with socket.create_server(LOOPBACK) as receiver, installed(client):
        handler = logging.handlers.SocketHandler(*receiver.getsockname())
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            logging.getLogger("program").debug("one line")
            assert isinstance(handler.sock, Socket)  # type: ignore[attr-defined]  # not in typeshed
            client.info()
        finally:
            root.setLevel(level)
            root.removeHandler(handler)
            handler.close()
        with receiver.accept()[0] as peer, peer.makefile("rb") as records:
            assert records.read().count(b"one line") == 1


class Upper(socketserver.StreamRequestHandler):
    """Answers a line in capitals.

    Only one: the forked process has a copy of the client's end, too, and would never see it closed.
    """

    def handle(self) -> None:
        self.wfile.write(self.rfile.readline().upper())


class ForkingServer(socketserver.ForkingMixIn, socketserver.TCPServer):
    """A process for each connection."""


def ask(address: tuple[str, int]) -> bytes:
    with socket.create_connection(address, BOUND_S) as sock, sock.makefile("rwb") as file:
        file.write(b"a line\n")
        file.flush()
        return bytes(file.readline())


def test_forking_server_works_on_descriptors(client: Client):
    with installed(client, prefer="descriptor"):
        server = ForkingServer(LOOPBACK, Upper)
        with served(server) as address:
            assert [ask(address) for _ in range(2)] == [b"A LINE\n"] * 2
    assert list(client.sockets.list()) == []


def test_asyncio_streams(client: Client, prefer: Any):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    async def talk() -> bytes:
        async with await asyncio.start_server(answer, *LOOPBACK) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"a line\n")
            said = await reader.read()
            writer.close()
            await writer.wait_closed()
            return said

    with installed(client, prefer=prefer):
        assert asyncio.run(asyncio.wait_for(talk(), BOUND_S)) == b"A LINE\n"
    assert list(client.sockets.list()) == []


def test_several_threads_share_one_socket(client: Client):
    with installed(client), socket.create_server(LOOPBACK) as listener:
        address = listener.getsockname()
        accepting = [threading.Thread(target=_greet, args=(listener,)) for _ in range(4)]
        for thread in accepting:
            thread.start()
        said = []
        for _ in accepting:
            with socket.create_connection(address, BOUND_S) as sock, sock.makefile("rb") as file:
                said.append(file.read())
        for thread in accepting:
            thread.join(BOUND_S)
        assert said == [b"hello"] * 4
    assert list(client.sockets.list()) == []


def _greet(listener: socket.socket) -> None:
    with listener.accept()[0] as guest:
        guest.sendall(b"hello")
