"""More of the standard library, unmodified, on sockets that the daemon holds."""

from __future__ import annotations

import asyncio
import http.client
import http.server
import imaplib
import logging
import logging.handlers
import multiprocessing.connection
import socket
import socketserver
import urllib.request
import wsgiref.simple_server
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from socketd_client import Client, installed
from tests.system.asking import closing_all
from tests.system.unmodified import BOUND_S, MEGABYTES, holding, served_beside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon_process import DaemonProcess

__all__ = ["holding"]  # a fixture


@pytest.fixture(params=[None, "descriptor"], ids=["by-request", "by-descriptor"])
def _unix_held(request: pytest.FixtureRequest, daemon: DaemonProcess) -> Iterator[None]:
    """Have the daemon hold Unix sockets, too."""
    families = [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX]
    with Client(daemon.url) as client, closing_all(client):
        with installed(client, families, prefer=request.param):
            yield
        assert list(client.sockets.list()) == []


class Mailbox(socketserver.StreamRequestHandler):
    """As much of IMAP as it takes to fetch a letter."""

    def handle(self) -> None:
        self.wfile.write(b"* OK IMAP4rev1\r\n")
        for line in self.rfile:
            tag, command, *_ = line.split()
            said = {
                b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n",
                b"SELECT": b"* 3 EXISTS\r\n",
                b"FETCH": b"* 1 FETCH (RFC822 {5}\r\nhello)\r\n",
                b"LOGOUT": b"* BYE\r\n",
            }
            self.wfile.write(said.get(command.upper(), b"") + tag + b" OK done\r\n")
            if command.upper() == b"LOGOUT":
                return


def test_imaplib_fetches_a_letter(holding):
    with (
        holding(),
        served_beside(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox)) as (host, port),
        imaplib.IMAP4(host, port, timeout=BOUND_S) as mailbox,
    ):
        mailbox.login("ann", "secret")
        assert mailbox.select() == ("OK", [b"3"])
        assert mailbox.fetch("1", "(RFC822)")[1][0] == (b"1 (RFC822 {5}", b"hello")


class Silent(wsgiref.simple_server.WSGIRequestHandler):
    """Logs nothing."""

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def backwards(environ, start_response) -> list[bytes]:
    """Answer with the body, its end first."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body[::-1]]


def test_wsgiref_serves_urllib(holding):
    with holding():
        server = wsgiref.simple_server.make_server("127.0.0.1", 0, backwards, handler_class=Silent)
        with served_beside(server) as (host, port):
            answer = urllib.request.urlopen(f"http://{host}:{port}/", MEGABYTES, timeout=BOUND_S)
            assert answer.read() == MEGABYTES[::-1]


class Page(http.server.BaseHTTPRequestHandler):
    """Says which page it is."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


class Forking(socketserver.ForkingMixIn, http.server.HTTPServer):
    """A process for each request."""


def test_web_server_that_forks_works_on_descriptors(daemon: DaemonProcess):
    with (
        Client(daemon.url) as client,
        installed(client, prefer="descriptor"),
        served_beside(Forking(("127.0.0.1", 0), Page)) as address,
    ):
        for path in ("/one", "/two"):
            asking = http.client.HTTPConnection(*address, timeout=BOUND_S)
            asking.request("GET", path)
            assert asking.getresponse().read() == path.encode()
            asking.close()


@pytest.mark.parametrize("family", ["AF_INET", "AF_UNIX"])
def test_multiprocessing_connects_by_descriptor(daemon: DaemonProcess, family: str):
    """It detaches the number and reads from it, for which the description must block as it does locally."""
    families = [socket.AF_INET, socket.AF_UNIX]
    with (
        Client(daemon.url) as client,
        installed(client, families, prefer="descriptor"),
        ThreadPoolExecutor() as threads,
        multiprocessing.connection.Listener(family=family, authkey=b"secret") as listener,
    ):
        accepting = threads.submit(listener.accept)
        with (
            multiprocessing.connection.Client(listener.address, authkey=b"secret") as one,
            accepting.result(BOUND_S) as other,
        ):
            answering = threads.submit(one.send, {"bytes": MEGABYTES})
            assert other.recv() == {"bytes": MEGABYTES}
            answering.result(BOUND_S)
            other.send("and back")
            assert one.recv() == "and back"


def record() -> logging.LogRecord:
    return logging.LogRecord("program", logging.INFO, "path", 1, "a line", None, None)


def test_log_handlers_write_datagrams(holding):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(BOUND_S)
        with holding():
            handlers = (
                logging.handlers.SysLogHandler(receiver.getsockname()),
                logging.handlers.DatagramHandler(*receiver.getsockname()),
            )
            for handler in handlers:
                handler.emit(record())
                assert b"a line" in receiver.recv(4096)
                handler.close()


@pytest.mark.usefixtures("_unix_held")
def test_log_handler_writes_to_a_unix_socket(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("u") / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.settimeout(BOUND_S)
        handler = logging.handlers.SysLogHandler(path)
        handler.emit(record())
        assert receiver.recv(4096) == b"<14>a line\0"
        handler.close()


class Upper(socketserver.StreamRequestHandler):
    """Answers lines in capitals."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class UpperDatagram(socketserver.DatagramRequestHandler):
    """Answers a datagram in capitals."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())


@pytest.mark.usefixtures("_unix_held")
def test_socketserver_serves_unix_sockets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("u")
    with (
        served_beside(socketserver.ThreadingUnixStreamServer(str(folder / "s"), Upper)),
        socket.socket(socket.AF_UNIX) as sock,
        sock.makefile("rwb", 0) as file,
    ):
        sock.settimeout(BOUND_S)
        sock.connect(str(folder / "s"))
        file.write(b"a line\n")
        assert file.readline() == b"A LINE\n"
    with (
        served_beside(socketserver.UnixDatagramServer(str(folder / "d"), UpperDatagram)),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
    ):
        sock.bind(str(folder / "peer"))
        sock.settimeout(BOUND_S)
        sock.sendto(b"a word", str(folder / "d"))
        assert sock.recvfrom(100) == (b"A WORD", str(folder / "d"))


@pytest.mark.usefixtures("_unix_held")
def test_asyncio_serves_a_unix_socket(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("u") / "s")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        writer.close()

    async def talk() -> bytes:
        async with await asyncio.start_unix_server(answer, path):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"a line\n")
            line = await reader.read()
            writer.close()
            await writer.wait_closed()
            return line

    assert asyncio.run(asyncio.wait_for(talk(), BOUND_S)) == b"A LINE\n"


class Answering(asyncio.DatagramProtocol):
    """Answers a datagram in capitals."""

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr) -> None:
        self.transport.sendto(data.upper(), addr)


class Asking(asyncio.DatagramProtocol):
    """Sends a word, and keeps what comes back."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport) -> None:
        transport.sendto(b"a word")

    def datagram_received(self, data: bytes, _addr) -> None:
        self.answer.set_result(data)


def test_asyncio_exchanges_datagrams(holding):
    async def talk() -> bytes:
        loop = asyncio.get_running_loop()
        answering, _ = await loop.create_datagram_endpoint(Answering, ("127.0.0.1", 0))
        address = answering.get_extra_info("sockname")
        asking, protocol = await loop.create_datagram_endpoint(Asking, remote_addr=address)
        word = await protocol.answer
        for transport in (answering, asking):
            transport.close()
        await asyncio.sleep(0)  # they close their sockets in the loop's next round
        return word

    with holding():
        assert asyncio.run(asyncio.wait_for(talk(), BOUND_S)) == b"A WORD"


@pytest.mark.usefixtures("_unix_held")
def test_threads_of_a_pool_share_a_listener():
    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as guest, guest.makefile("rwb") as file:
            for line in file:
                file.write(line.upper())
                file.flush()

    def ask(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address, BOUND_S) as sock:
            sock.sendall(b"a line\n" * 100)
            sock.shutdown(socket.SHUT_WR)
            with sock.makefile("rb") as file:
                return file.read()

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(16) as threads:
        serving = [threads.submit(serve, listener) for _ in range(8)]
        asking = [threads.submit(ask, listener.getsockname()) for _ in range(8)]
        assert [each.result(BOUND_S) for each in asking] == [b"A LINE\n" * 100] * 8
        for each in serving:
            each.result(BOUND_S)
