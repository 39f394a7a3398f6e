"""A real HTTP server that answers what a test tells it to, for what the daemon never does on demand."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

WAIT_S = 20.0


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: socket.socket

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer to give; ``None`` instead of one hangs up."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def bytes(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class StandIn:
    """The server; ``answer`` is called in the connection's thread and may wait there for a test's event."""

    def __init__(self, answer: Callable[[Seen], Reply | None]) -> None:
        self.answer = answer
        self.seen: list[Seen] = []
        self.connections: list[socket.socket] = []
        self.url = ""

    def hang_up(self) -> None:
        """Close every connection, as a server does that goes away."""
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def address_string(self) -> str:
        return "client"

    def log_message(self, *_args: object) -> None:
        """Stay silent."""

    def setup(self) -> None:
        super().setup()
        self.stand_in.connections.append(self.connection)

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        seen = Seen(self.command, self.path, dict(self.headers), body, self.connection)
        self.stand_in.seen.append(seen)
        reply = self.stand_in.answer(seen)
        if reply is None:
            self.close_connection = True
            return
        content = reply.bytes()
        self.send_response(reply.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content)), **reply.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - http.server's names


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = False
    request_queue_size = 64


class _TcpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = False
    allow_reuse_address = True
    request_queue_size = 64


@contextlib.contextmanager
def serving(
    answer: Callable[[Seen], Reply | None], path: Path | str | bytes | None = None
) -> Iterator[StandIn]:
    """Serve on a Unix socket, or on loopback without a path, until the block ends."""
    stand_in = StandIn(answer)
    handler = type("_BoundHandler", (_Handler,), {"stand_in": stand_in})
    server: socketserver.BaseServer
    if path is None:
        server = _TcpServer(("127.0.0.1", 0), handler)
        stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
    else:
        server = _UnixServer(path if isinstance(path, bytes) else str(path), handler)
        stand_in.url = (
            f"unix://{path if isinstance(path, str) else ''}" if isinstance(path, bytes) else f"unix://{path}"
        )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        thread.join(WAIT_S)
        stand_in.hang_up()
        server.server_close()


SERVICE = {
    "service": "socketd",
    "version": "0",
    "pid": 1,
    "uptime_s": 1000000.0,
    "extensions": [],
    "limits": {"timeout_s": 300, "body_bytes": 200000, "recv_bytes": 100000},
}


def socket_json(**members: Any) -> dict[str, Any]:
    """Write a socket's representation as the daemon does."""
    return {
        "fd": 64,
        "pid": 4242,
        "inode": 84211,
        "cookie": 4097,
        "name": None,
        "owner": {"uid": 1000, "user": "ann"},
        "family": "inet",
        "type": "stream",
        "protocol": "tcp",
        "state": "created",
        "local": None,
        "peer": None,
        "listening": None,
        "accepted_from": None,
        "created_at": "2026-11-22T16:29:00.123456Z",
        "kept": "daemon",
        "persist": False,
        "taken": 0,
        "proc": {"link": "socket:[84211]", "path": "/proc/4242/fd/64", "fdinfo": "/proc/4242/fdinfo/64"},
        **members,
    }


def problem(errno: str | None, status: int = 409, **members: Any) -> Reply:
    """Write a refusal as the daemon does."""
    body = {
        "title": "Refused",
        "status": status,
        "detail": "it is refused",
        "code": "kernel_refused",
        "errno": errno,
    }
    headers = {"Content-Type": "application/problem+json", "X-Request-Id": "r-1"}
    return Reply({**body, **members}, status, headers)


TIMED_OUT = problem("ETIMEDOUT", 504, code="timed_out")
WOULD_BLOCK = problem("EAGAIN", 409, code="would_block")
