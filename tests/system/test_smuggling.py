"""Requests that two readers could read differently are refused, and nothing that hides in them is done."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.daemon_process import running_daemon
from tests.system.unclear import CHUNKED, CHUNKS, FRAMING, HIDDEN, JSON, bare, chunked, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.daemon_process import DaemonProcess

FIRST_HELD = 64  # runtime/composition.py's FIRST_NUMBER


class Answer(NamedTuple):
    """One of the answers on a connection."""

    status: int
    code: str | None


class Wire:
    """A daemon on both of its sockets, asked with plain bytes.

    Args:
        daemon: It asks TCP callers for the token.
        open_: Connects to one of them.
    """

    def __init__(self, daemon: DaemonProcess, open_: Callable[[], socket.socket]) -> None:
        self.daemon = daemon
        self._open = open_
        self._pid = daemon.pid

    def ask(self, raw: bytes, *, ends: bool = False) -> list[Answer]:
        """Send bytes, then no more if ``ends``; return every answer up to the end of the connection."""
        received = bytearray()
        with self._open() as client:
            client.settimeout(60)
            with suppress(BrokenPipeError, ConnectionResetError):  # it was refused in the middle
                client.sendall(raw)
                if ends:
                    client.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):  # it ended with bytes of ours unread
                while piece := client.recv(65536):
                    received += piece
        return list(answers(bytes(received)))

    def check_nothing_done(self) -> None:
        """Fail if a socket is held, by the daemon's word or by the kernel's."""
        assert self.daemon.request("GET", "/v1/sockets").json()["sockets"] == []
        held = [fd for fd in os.listdir(f"/proc/{self._pid}/fd") if int(fd) >= FIRST_HELD]  # noqa: PTH208
        assert held == []

    def close_all(self) -> None:
        """Close what a request has made."""
        for made in self.daemon.request("GET", "/v1/sockets?fields=fd").json()["sockets"]:
            assert self.daemon.request("DELETE", f"/v1/sockets/{made['fd']}").status == 204


def answers(data: bytes) -> Iterator[Answer]:
    """Read answers one after another, each by its own length."""
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        named = {
            name.lower(): value.strip() for name, _, value in (field.partition(b":") for field in fields)
        }
        size = int(named.get(b"content-length", b"0"))
        assert len(rest) >= size, data
        is_problem = named.get(b"content-type") == b"application/problem+json"
        yield Answer(int(line.split()[1]), json.loads(rest[:size])["code"] if is_problem else None)
        data = rest[size:]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    flags = ("--tcp", "127.0.0.1:0", "--token", "sesame", "--banner")
    with running_daemon(tmp_path_factory.mktemp("daemon"), *flags) as daemon:
        yield daemon


@pytest.fixture(params=["unix", "tcp"])
def wire(both: DaemonProcess, request: pytest.FixtureRequest) -> Iterator[Wire]:
    def unix() -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(both.socket_path)
        return client

    def tcp() -> socket.socket:
        _, _, port = both.log.partition("http://127.0.0.1:")
        digits = port[: next(at for at, letter in enumerate(port) if not letter.isdigit())]
        return socket.create_connection(("127.0.0.1", int(digits)))

    wire = Wire(both, unix if request.param == "unix" else tcp)
    yield wire
    wire.close_all()


@pytest.mark.parametrize("name", FRAMING)
def test_unclear_framing_is_refused_and_what_follows_is_not_done(wire: Wire, name):
    (refusal,) = wire.ask(FRAMING[name] + HIDDEN)
    assert refusal.status in (400, 414, 431, 501, 505)
    assert refusal.code == "malformed_request"
    wire.check_nothing_done()


@pytest.mark.parametrize("name", CHUNKS)
def test_unclear_chunks_are_refused_and_what_follows_is_not_done(wire: Wire, name):
    (refusal,) = wire.ask(CHUNKS[name] + HIDDEN)
    assert refusal == Answer(400, "malformed_body")
    wire.check_nothing_done()


@pytest.mark.parametrize("name", CHUNKS)
def test_unclear_chunks_that_no_operation_reads_end_the_connection_too(wire: Wire, name):
    unread = CHUNKS[name].replace(b"POST /v1/sockets ", b"GET /healthz ")
    statuses = [answer.status for answer in wire.ask(unread + HIDDEN)]
    assert statuses in ([200], [200, 400], [200, 431])
    wire.check_nothing_done()


@pytest.mark.parametrize(
    "cut",
    [
        request(b"Content-Length: 200", body=b"{}"),
        chunked(b"c8\r\n{}"),
        chunked(b"2\r\n{}\r\n"),
        chunked(b"2\r\n{}\r\n0\r\n"),
        chunked(b"ffffffffffffffffffff\r\n{}"),
        request()[:-2],
    ],
)
def test_request_that_ends_early_is_not_done(wire: Wire, cut):
    assert [answer.status for answer in wire.ask(cut, ends=True)] in ([], [400])
    wire.check_nothing_done()


UNFIT_HOST = (400, "malformed_host")
FOREIGN_HOST = (421, "foreign_host")
FOREIGN_ORIGIN = (403, "foreign_origin")


@pytest.mark.parametrize(
    ("write", "fields", "line", "refusal"),
    [
        (bare, [], b"POST /v1/sockets HTTP/1.1", UNFIT_HOST),
        (bare, [b"Host: evil.example"], b"POST /v1/sockets HTTP/1.1", FOREIGN_HOST),
        (bare, [b"Host: localhost, evil.example"], b"POST /v1/sockets HTTP/1.1", UNFIT_HOST),
        (bare, [b"Host: localhost@evil.example"], b"POST /v1/sockets HTTP/1.1", UNFIT_HOST),
        (bare, [b"Host: [:::1]"], b"POST /v1/sockets HTTP/1.1", UNFIT_HOST),
        (bare, [b"Host: \xe9vil.example"], b"POST /v1/sockets HTTP/1.1", UNFIT_HOST),
        (request, [], b"POST http://evil.example/v1/sockets HTTP/1.1", UNFIT_HOST),
        (request, [], b"POST http://localhost@evil.example/v1/sockets HTTP/1.1", UNFIT_HOST),
        (request, [], b"POST http:///v1/sockets HTTP/1.1", UNFIT_HOST),
        (request, [], b"POST ://localhost/v1/sockets HTTP/1.1", UNFIT_HOST),
        (bare, [b"Host: evil.example"], b"POST http://evil.example/v1/sockets HTTP/1.1", FOREIGN_HOST),
        (request, [b"Origin: http://evil.example"], b"POST /v1/sockets HTTP/1.1", FOREIGN_ORIGIN),
        (request, [b"Origin: http://localhost", b"Origin: x"], b"POST /v1/sockets HTTP/1.1", FOREIGN_ORIGIN),
        (request, [b"Sec-Fetch-Site: cross-site"], b"POST /v1/sockets HTTP/1.1", FOREIGN_ORIGIN),
    ],
)
def test_request_in_the_body_of_a_refused_one_is_not_done(wire: Wire, write, fields, line, refusal):
    """Here the framing is sound: what a browser was made to send as a body stays one."""
    inside = b"Content-Length: %d" % len(HIDDEN)
    outer = write(*fields, inside, line=line, body=HIDDEN)
    last = request(b"Connection: close", line=b"GET /healthz HTTP/1.1")
    assert wire.ask(outer + last) == [refusal, (200, None)]
    wire.check_nothing_done()
    in_chunks = write(*fields, CHUNKED, line=line, body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN))
    assert wire.ask(in_chunks + last) == [refusal, (200, None)]
    wire.check_nothing_done()


def test_what_follows_a_connect_is_not_done(wire: Wire):
    (refusal,) = wire.ask(request(line=b"CONNECT localhost:80 HTTP/1.1") + HIDDEN)
    assert refusal.status == 400
    wire.check_nothing_done()


def test_head_without_an_end_is_cut_off(wire: Wire):
    for flood in (b"X: y\r\n" * 300_000, b"X: " + b"y" * 2_000_000):
        assert [answer.status for answer in wire.ask(request()[:-2] + flood)] == [431]
    assert [answer.status for answer in wire.ask(b"GET /" + b"y" * 2_000_000)] == [414]
    wire.check_nothing_done()


def test_words_that_only_some_readers_know_change_nothing(wire: Wire):
    """An underscore for a dash, another method in a field, an upgrade: none of them is heard."""
    odd = (
        b"Content_Length: 5",
        b"Transfer_Encoding: chunked",
        b"X-HTTP-Method-Override: POST",
        b"X-Forwarded-Host: evil.example",
        b"Forwarded: host=evil.example",
        b"Upgrade: h2c, websocket",
        b"HTTP2-Settings: AAMAAABkAAQAAP__",
    )
    last = request(b"Connection: close", line=b"GET /healthz HTTP/1.1")
    assert wire.ask(request(*odd, line=b"GET /v1/sockets HTTP/1.1") + last) == [(200, None), (200, None)]
    wire.check_nothing_done()


def test_two_sound_requests_on_one_connection_are_both_done(wire: Wire):
    """What is hidden above would work, if it were let through."""
    first = request(b"Content-Length: 0")
    second = HIDDEN.replace(JSON, JSON + b"\r\nConnection: close")
    assert wire.ask(first + second) == [(201, None), (201, None)]
    assert wire.daemon.request("GET", "/v1/sockets/hidden").status == 200
