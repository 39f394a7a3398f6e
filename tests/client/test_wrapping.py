"""``ssl`` on held sockets within ``installed``: by request, and by descriptor."""

from __future__ import annotations

import contextlib
import errno
import http.client
import http.server
import re
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from socketd_client import Client, Socket, installed
from tests.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.daemon_process import DaemonProcess

BOUND_S = 30.0
LOOPBACK = ("127.0.0.1", 0)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ca")


@pytest.fixture(scope="module")
def serving(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    pair = authority.issue("server", "server")
    context.load_cert_chain(pair.certificate, pair.key)
    return context


@pytest.fixture(scope="module")
def calling(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.certificate)


@pytest.fixture(params=[None, "descriptor"], ids=["by-request", "by-descriptor"])
def held_instead(client: Client, request: pytest.FixtureRequest) -> Iterator[Client]:
    """Nothing is left with the daemon: what ``ssl`` has wrapped is the program's alone."""
    with installed(client, prefer=request.param):
        yield client
    assert list(client.sockets.list()) == []


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_args: object) -> None:
        """Stay silent."""


@pytest.mark.usefixtures("held_instead")
def test_web_server_and_client(serving: ssl.SSLContext, calling: ssl.SSLContext):
    with http.server.ThreadingHTTPServer(LOOPBACK, Hello) as server:
        server.socket = serving.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        connection = http.client.HTTPSConnection(*server.server_address[:2], timeout=BOUND_S, context=calling)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"hello"
        connection.close()
        server.shutdown()
        thread.join(BOUND_S)


@pytest.mark.usefixtures("held_instead")
def test_connection_that_is_wrapped_before_it_connects(serving: ssl.SSLContext, calling: ssl.SSLContext):
    def answer(listener: socket.socket) -> None:
        guest, _ = listener.accept()
        with serving.wrap_socket(guest, server_side=True) as secured:
            assert guest.fileno() == -1
            secured.sendall(secured.recv(100).upper())
            with secured.unwrap() as plain:
                plain.sendall(b"in the clear")

    with socket.create_server(LOOPBACK) as listener, ThreadPoolExecutor() as threads:
        done = threads.submit(answer, listener)
        with calling.wrap_socket(socket.socket(), server_hostname="localhost") as secured:
            secured.settimeout(BOUND_S)
            secured.connect(listener.getsockname())
            assert secured.getpeername() == listener.getsockname()
            secured.sendall(b"hello")
            assert secured.recv(100) == b"HELLO"
            with secured.unwrap() as plain, plain.makefile("rb") as file:
                assert file.read() == b"in the clear"
        done.result(BOUND_S)


@pytest.mark.usefixtures("held_instead")
def test_refused_arguments_leave_the_socket_as_it_is(calling: ssl.SSLContext):
    with socket.create_server(LOOPBACK) as listener:
        with socket.create_connection(listener.getsockname(), BOUND_S) as sock, listener.accept()[0] as guest:
            with pytest.raises(ValueError, match="server_hostname"):
                calling.wrap_socket(sock)
            sock.sendall(b"still here")
            assert guest.recv(100) == b"still here"
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
            pytest.raises(NotImplementedError),
        ):
            calling.wrap_socket(datagrams, server_hostname="localhost")


@pytest.mark.usefixtures("held_instead")
def test_handshake_that_fails_ends_the_connection(calling: ssl.SSLContext):
    with socket.create_server(LOOPBACK) as listener:
        sock = socket.create_connection(listener.getsockname(), BOUND_S)
        with listener.accept()[0] as guest:
            guest.sendall(b"this is no TLS\r\n")
            with pytest.raises(ssl.SSLError):
                calling.wrap_socket(sock, server_hostname="localhost")
            assert sock.fileno() == -1
            guest.settimeout(BOUND_S)
            with contextlib.suppress(ConnectionResetError):  # what it sent and ssl has not read
                while guest.recv(65536):
                    pass


def test_options_of_the_call_and_local_sockets_pass_as_they_are(client: Client, calling: ssl.SSLContext):
    original = ssl.SSLContext.wrap_socket
    with installed(client), socket.create_server(LOOPBACK) as listener:
        assert ssl.SSLContext.wrap_socket is not original
        with socket.create_connection(listener.getsockname(), BOUND_S) as sock:
            wrapped = calling.wrap_socket(
                sock, do_handshake_on_connect=False, suppress_ragged_eofs=False, server_hostname="localhost"
            )
            assert (wrapped.server_hostname, wrapped.gettimeout()) == ("localhost", BOUND_S)
            wrapped.close()
        one, other = socket.socketpair()  # local: AF_UNIX is not asked for
        with other, calling.wrap_socket(one, do_handshake_on_connect=False, server_hostname="x") as wrapped:
            assert isinstance(wrapped, ssl.SSLSocket)
    assert ssl.SSLContext.wrap_socket is original


def test_over_tcp_it_says_why_not(fresh_daemon: Callable[..., DaemonProcess], calling: ssl.SSLContext):
    process = fresh_daemon("--tcp", "127.0.0.1:0", environ={"SOCKETD_TOKEN": "secret-of-the-test"})
    process.await_log("http://127.0.0.1:")
    found = re.search(r"http://127\.0\.0\.1:[0-9]+", process.log)
    assert found is not None
    with Client(found[0], token="secret-of-the-test") as client, installed(client):
        with socket.socket() as sock:
            assert isinstance(sock, Socket)
            with pytest.raises(OSError, match="descriptors cannot be passed over this connection") as caught:
                calling.wrap_socket(sock, server_hostname="localhost")
            assert caught.value.errno == errno.EOPNOTSUPP
            assert sock.getsockname() == ("0.0.0.0", 0)
        assert list(client.sockets.list()) == []
