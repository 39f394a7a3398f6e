"""``installed``: programs that know nothing of socketd on held sockets, and all put back afterwards."""

from __future__ import annotations

import asyncio
import http.client
import http.server
import logging
import logging.handlers
import poplib
import select
import selectors
import socket
import socketserver
import ssl
import threading
import urllib.request
import xmlrpc.client
import xmlrpc.server
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests

from socketd_client import Client, Socket, Taken, installed
from tests.client.http_stand_in import SERVICE, Reply, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon_process import DaemonProcess

BOUND_S = 30.0
LOOPBACK = ("127.0.0.1", 0)
REPLACED = {
    "socket": (
        "socket",
        "SocketType",
        "create_connection",
        "create_server",
        "socketpair",
        "fromfd",
        "getaddrinfo",
    ),
    "select": ("select", "poll"),
    "selectors": ("DefaultSelector", "PollSelector", "SelectSelector"),
    "socketserver": ("_ServerSelector",),
}
MODULES = {"socket": socket, "select": select, "selectors": selectors, "socketserver": socketserver}


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


def shown() -> dict[tuple[str, str], object]:
    return {
        (module, name): getattr(MODULES[module], name) for module, names in REPLACED.items() for name in names
    }


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


def test_everything_is_put_back_also_after_an_exception(client: Client):
    before = shown()

    def fail() -> None:
        with installed(client):
            assert all(shown()[name] is not was for name, was in before.items())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert shown() == before


def test_innermost_of_nested_blocks_counts(client: Client, daemon: DaemonProcess):
    native = socket.socket
    with Client(daemon.url) as other, installed(client):
        outer = socket.socket
        with (
            installed(other, [socket.AF_INET6]),
            socket.socket() as inet,
            socket.socket(socket.AF_INET6) as sock,
        ):
            assert type(inet) is native
            assert isinstance(sock, Socket)
        assert socket.socket is outer


def test_blocks_of_threads_may_end_in_any_order(client: Client):
    before = shown()
    first, second = installed(client), installed(client)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with socket.socket() as sock:
        assert isinstance(sock, Socket)
    second.__exit__(None, None, None)
    assert shown() == before


def test_only_the_families_asked_for_are_held(client: Client):
    native = socket.socket
    with native() as old, installed(client):
        with socket.socket() as inet, socket.socket(socket.AF_UNIX) as unix:
            assert isinstance(inet, Socket)
            assert type(unix) is native
            for sock in (old, inet, unix):
                assert isinstance(sock, socket.socket)
                assert isinstance(sock, socket.SocketType)
            assert issubclass(Socket, socket.socket)
            assert not isinstance("", socket.socket)
        for one in socket.socketpair():
            assert type(one) is native
            one.close()
    with installed(client, [socket.AF_UNIX]), socket.socket() as inet:
        assert type(inet) is native
        for one in socket.socketpair():
            assert isinstance(one, Socket)
            one.close()


def test_local_descriptor_stays_local(client: Client):
    native = socket.socket
    with native() as old, installed(client):
        with socket.socket(fileno=old.dup().detach()) as again, socket.fromfd(old.fileno(), 2, 1) as copy:
            assert type(again) is type(copy) is native
        with socket.socket() as sock, socket.fromfd(sock.fileno(), 2, 1) as copy:
            assert isinstance(copy, Socket)
            assert copy.fileno() == sock.fileno()


def test_class_derived_from_it_is_held(client: Client):
    with installed(client):

        class Counting(socket.socket):
            """A program's own class."""

            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                self.count = 0

            def bind(self, address: Any, /) -> None:
                self.count += 1
                socket.socket.bind(self, address)

        with Counting() as sock, socket.socket() as plain:
            sock.bind(LOOPBACK)
            assert sock.count == 1
            assert isinstance(sock, Socket)
            assert isinstance(sock, socket.socket)
            assert not isinstance(plain, Counting)


def test_our_own_http_over_tcp_stays_local():
    with serving(lambda _seen: Reply(SERVICE)) as server, Client(server.url) as client:
        with installed(client):
            assert client.info().service == "socketd"
            server.hang_up()
            assert client.info().service == "socketd"
        assert {seen.path for seen in server.seen} == {"/v1/"}


def test_numbers_are_resolved_without_the_daemon():
    with serving(lambda _seen: Reply(status=404)) as server, Client(server.url) as client, installed(client):
        found = socket.getaddrinfo("127.0.0.1", 80, 0, socket.SOCK_STREAM)
        assert found == [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 80))]
        assert server.seen == []


def test_names_are_resolved_as_locally(client: Client):
    wanted = {row[:3] + row[4:] for row in socket.getaddrinfo("localhost", "80")}
    with installed(client):
        assert {row[:3] + row[4:] for row in socket.getaddrinfo("localhost", "80")} == wanted
        with pytest.raises(socket.gaierror) as caught:
            socket.getaddrinfo("no-such-host.invalid", 80)
        assert caught.value.errno in (socket.EAI_NONAME, socket.EAI_AGAIN)


def test_http_clients_and_a_threaded_server(client: Client, prefer: Any):
    with installed(client, prefer=prefer):
        server = http.server.ThreadingHTTPServer(LOOPBACK, Hello)
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


def test_create_connection_ends_as_the_local_one(client: Client):
    with socket.socket() as closed:
        closed.bind(LOOPBACK)
        address = closed.getsockname()
        with installed(client):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, BOUND_S)
            with pytest.raises(ExceptionGroup) as caught:
                socket.create_connection(address, BOUND_S, all_errors=True)
            assert caught.group_contains(ConnectionRefusedError)
            with pytest.raises(socket.gaierror):
                socket.create_connection(("no-such-host.invalid", 1), BOUND_S)
    assert list(client.sockets.list()) == []


def test_create_connection_from_an_address_with_a_timeout(client: Client):
    with socket.create_server(LOOPBACK) as listener, installed(client):
        port = listener.getsockname()[1]
        with socket.create_connection(("localhost", port), 7, ("127.0.0.1", 0)) as sock:
            assert sock.gettimeout() == 7
            assert sock.getpeername() == ("127.0.0.1", port)
        with socket.create_connection(("localhost", port)) as sock:
            assert sock.gettimeout() is None


def test_create_server_says_what_it_could_not_bind(client: Client):
    with socket.create_server(LOOPBACK) as taken, installed(client):
        with pytest.raises(OSError, match="while attempting to bind on address"):
            socket.create_server(taken.getsockname())
        with pytest.raises(ValueError, match="dualstack_ipv6 requires AF_INET6 family"):
            socket.create_server(LOOPBACK, dualstack_ipv6=True)
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both:
            assert both.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0
            assert both.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
            with socket.create_connection(("127.0.0.1", both.getsockname()[1]), BOUND_S):
                accepted, (host, *_) = both.accept()
                accepted.close()
                assert host == "::ffff:127.0.0.1"


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


def test_tls_wants_a_descriptor(client: Client):
    with socket.create_server(LOOPBACK) as listener, installed(client):
        sock = socket.create_connection(listener.getsockname(), BOUND_S)
        with sock, pytest.raises(OSError, match="Bad file descriptor"):
            ssl.create_default_context().wrap_socket(sock, server_hostname="localhost")
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
