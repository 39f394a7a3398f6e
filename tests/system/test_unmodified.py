"""Programs that were written for ``socket.socket``, unmodified, on sockets that the daemon holds."""

from __future__ import annotations

import ftplib
import gc
import hashlib
import http.client
import http.server
import io
import os
import pty
import random
import smtplib
import socket
import socketserver
import subprocess
import threading
import urllib.request
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesParser
from typing import TYPE_CHECKING

import pytest
import requests

from socketd_client import Client, installed
from tests.system import servers
from tests.system.asking import closing_all
from tests.system.lossy import LossyRelay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon_process import DaemonProcess

BOUND_S = 30.0
MEGABYTES = random.Random(6).randbytes(3 << 20)


@pytest.fixture(params=[None, "descriptor"], ids=["by-request", "by-descriptor"])
def holding(request: pytest.FixtureRequest, daemon: DaemonProcess) -> Iterator[Holding]:
    """Give a block in which every Internet socket is held by the daemon; none is left after the test."""
    with Client(daemon.url, prefer=request.param) as client, closing_all(client):
        yield Holding(client, request.param)
        gc.collect()  # urllib3 closes a pool's connections when the pool is collected
        assert [sock.info().state for sock in client.sockets.list()] == []


@dataclass(frozen=True, slots=True)
class Holding:
    """What ``with`` takes: ``with holding():``."""

    client: Client
    prefer: str | None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Install, and see that it was not in vain."""
        last = max((event.sequence for event in self.client.events(0, timeout=0)), default=0)
        with installed(self.client, prefer=self.prefer):
            yield
        assert any(event.event == "created" for event in self.client.events(last, timeout=0))

    def count(self) -> int:
        """Count what the daemon holds."""
        return sum(1 for _ in self.client.sockets.list())


@contextmanager
def served_beside(server: socketserver.BaseServer) -> Iterator[tuple[str, int]]:
    """Serve in a thread until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[:2]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.needs("nginx")
class TestWeb:
    def test_http_client_keeps_a_connection_to_nginx(self, holding, tmp_path):
        with servers.nginx(tmp_path) as port, holding():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_S)
            for number in range(3):
                connection.request("GET", "/said", headers={"X-Said": str(number)})
                answer = connection.getresponse()
                assert (answer.status, answer.read()) == (200, f"GET  {number}".encode())
            assert holding.count() == 1
            connection.close()

    def test_http_client_reads_megabytes(self, holding, tmp_path):
        with servers.nginx(tmp_path) as port, holding():
            (tmp_path / "root" / "file").write_bytes(MEGABYTES)
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_S)
            connection.request("GET", "/file")
            assert connection.getresponse().read() == MEGABYTES
            connection.close()

    def test_requests_gets_and_posts(self, holding, tmp_path):
        with servers.nginx(tmp_path) as port, holding(), requests.Session() as session:
            (tmp_path / "root" / "file").write_bytes(MEGABYTES)
            url = f"http://127.0.0.1:{port}"
            assert session.get(f"{url}/file", timeout=BOUND_S).content == MEGABYTES
            said = session.post(f"{url}/said", data=MEGABYTES, timeout=BOUND_S)
            assert said.text == f"POST {len(MEGABYTES)} "
            assert holding.count() == 1
            with pytest.raises(requests.ConnectionError):
                session.get(f"http://127.0.0.1:{servers.free_port()}", timeout=BOUND_S)

    def test_urllib_reads_a_page(self, holding, tmp_path):
        with servers.nginx(tmp_path) as port, holding():
            assert urllib.request.urlopen(f"http://127.0.0.1:{port}/said", timeout=BOUND_S).read() == b"GET  "


def test_smtplib_delivers_mail(holding, tmp_path):
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "ann@example.org", "bob@example.org", "held"
    letter.set_content("a line\n.\nand one dot\n" * 500)
    with servers.smtpd(tmp_path) as port, holding():
        with smtplib.SMTP("127.0.0.1", port, timeout=BOUND_S) as smtp:
            smtp.ehlo()
            assert smtp.send_message(letter) == {}
            assert holding.count() == 1
        (delivered,) = (tmp_path / "mail" / "new").iterdir()
        came = BytesParser().parsebytes(delivered.read_bytes())
        assert came["Subject"] == "held"
        assert came.get_payload().replace("\r\n", "\n") == letter.get_content()


@pytest.mark.needs("vsftpd")
@pytest.mark.parametrize("is_passive", [True, False], ids=["passive", "active"])
def test_ftplib_transfers_both_ways(holding, tmp_path, is_passive):
    with servers.ftpd(tmp_path) as port, holding(), ftplib.FTP(timeout=BOUND_S) as ftp:
        ftp.connect("127.0.0.1", port)
        ftp.login()
        ftp.cwd("in")
        ftp.set_pasv(is_passive)
        ftp.storbinary("STOR there", io.BytesIO(MEGABYTES))
        back = io.BytesIO()
        ftp.retrbinary("RETR there", back.write)
        assert back.getvalue() == MEGABYTES
        lines: list[str] = []
        ftp.retrlines("LIST", lines.append)
        assert [line.split()[-1] for line in lines] == ["there"]
        assert (tmp_path / "files" / "in" / "there").read_bytes() == MEGABYTES


@pytest.mark.needs("socat", "telnetd")
@pytest.mark.skipif(os.getuid() != 0, reason="telnetd opens a terminal for a login")
def test_telnetlib_talks_to_telnetd(holding, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        telnetlib = pytest.importorskip("telnetlib", reason="it left the standard library with Python 3.13")
    with (
        servers.telnetd(tmp_path) as port,
        holding(),
        telnetlib.Telnet("127.0.0.1", port, BOUND_S) as session,
    ):
        assert session.read_until(b"who? ", BOUND_S).endswith(b"who? ")
        session.write(b"held\r\n")
        assert session.read_until(b"hello held", BOUND_S).endswith(b"hello held")
        session.write(b"end\r\n")
        session.read_all()


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


@pytest.mark.needs("in.tftpd")
@pytest.mark.skipif(os.getuid() != 0, reason="in.tftpd starts as root and drops its rights itself")
@pytest.mark.parametrize("seed", range(1, 6) if os.environ.get("SOCKETD_SOAK") else [1])
def test_tftp_both_ways_over_a_network_that_loses(holding, tmp_path_factory, seed):
    import tftpy  # noqa: PLC0415 - it is imported where sockets are held already

    folder = tmp_path_factory.mktemp("tftp")
    content = MEGABYTES[: 16 * 512 + 17]
    (folder / "there").write_bytes(content)
    (folder / "there").chmod(0o644)
    with (
        servers.tftpd(folder) as port,
        LossyRelay(("127.0.0.1", port), loss=0.1, seed=seed) as network,
        holding(),
    ):
        tftp = tftpy.TftpClient(*network.address)
        tftp.download("there", str(folder / "back"), timeout=1, retries=20)
        assert (folder / "back").read_bytes() == content
        tftp.upload("up", str(folder / "back"), timeout=1, retries=20)
        assert (folder / "up").read_bytes() == content
        assert network.lost > 0


def test_what_was_installed_is_gone_afterwards(daemon: DaemonProcess) -> None:
    before = {name: getattr(socket, name) for name in ("socket", "create_connection", "getaddrinfo")}
    with Client(daemon.url) as client, installed(client):
        assert socket.socket is not before["socket"]
    assert {name: getattr(socket, name) for name in before} == before
