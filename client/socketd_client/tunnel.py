"""Tunnels: a connection to the daemon that carries a held socket's bytes, and is a real socket here."""

from __future__ import annotations

import errno
import io
import os
import socket
import ssl
from http.client import HTTPException, parse_headers
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from socketd_client.calls import Call
from socketd_client.errors import BadAnswerError, SocketdError, api_error, connect_error
from socketd_client.failing import transport_error
from socketd_client.own_traffic import own_traffic
from socketd_client.problem import read_problem
from socketd_client.transport import connect_unix

if TYPE_CHECKING:
    import requests

    from socketd_client.endpoint import Endpoint
    from socketd_client.exchange import Exchange
    from socketd_client.repeating import Attempt

_SWITCHED: Final = 101
_HEAD_MOST: Final = 64 * 1024
_BODY_MOST: Final = 1024 * 1024
_PORTS: Final = {"http": 80, "https": 443}


class TlsTunnel(ssl.SSLSocket):
    """A tunnel with TLS: shutting the sending side leaves the other direction as it is."""

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 (its name there)
        """Receive; an end without FIN is none.

        Raises:
            ConnectionResetError: The tunnel was cut, by the daemon's end or by the peer's reset.
        """
        try:
            return super().read(len, buffer)
        except ssl.SSLEOFError as error:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from error

    def shutdown(self, how: int) -> None:
        """Shut a direction or both.

        FIN alone ends our direction, and the daemon's. close_notify would say it better; but OpenSSL's
        SSL_shutdown reads as well, and ends the session for good when application data is what it finds.
        """
        if how == socket.SHUT_WR:
            socket.socket.shutdown(self, how)
        else:
            super().shutdown(how)


def open_tunnel(exchange: Exchange, fd: int, cookie: int) -> socket.socket:
    """Open a tunnel to a connected stream socket; the caller owns what is returned, a blocking socket.

    Over ``unix:`` and ``http:`` it is a plain socket, over ``https:`` a ``TlsTunnel``. No proxy of the
    environment is used.

    Raises:
        ApiError: ENOTCONN, EOPNOTSUPP (no stream socket), EBUSY (another tunnel or forward has its bytes), …
        TransportError: There was no answer.
    """
    call = Call("POST", f"/v1/sockets/{fd}/tunnel", if_match=cookie)

    def make(attempt: Attempt) -> socket.socket:
        with own_traffic():
            return _open(exchange, attempt)

    return exchange.insist(call, make)


def _open(exchange: Exchange, attempt: Attempt) -> socket.socket:
    request, session = exchange.prepared(attempt)
    endpoint = exchange.endpoint
    sock = _connect(endpoint, session, exchange.timeout_s)
    try:
        _switch(sock, request)
        sock.settimeout(None)
    except SocketdError:  # a refusal may be an OSError, too
        sock.close()
        raise
    except (OSError, HTTPException) as error:
        sock.close()
        raise transport_error(endpoint.url, error) from error
    except BaseException:
        sock.close()
        raise
    return sock


def _connect(endpoint: Endpoint, session: requests.Session, timeout_s: float) -> socket.socket:
    try:
        if endpoint.socket_path is not None:
            # Its own class is for descriptors, which do not come by a tunnel.
            sock = socket.socket(fileno=connect_unix(endpoint.socket_path, timeout_s).detach())
            sock.settimeout(timeout_s)
            return sock
        parts = urlsplit(endpoint.base)
        host = parts.hostname or ""
        with own_traffic():
            sock = socket.create_connection((host, parts.port or _PORTS[parts.scheme]), timeout_s)
    except OSError as error:
        raise connect_error(endpoint.url, error) from error
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if parts.scheme == "https":
            # With them suppressed, Python takes a reset for an end of file.
            sock = _context(session).wrap_socket(sock, server_hostname=host, suppress_ragged_eofs=False)
    except OSError as error:
        sock.close()
        raise transport_error(endpoint.url, error) from error
    return sock


def _context(session: requests.Session) -> ssl.SSLContext:
    """Trust whom the session trusts, and show what it shows."""
    authorities = DEFAULT_CA_BUNDLE_PATH if session.verify is True else str(session.verify)
    is_folder = Path(authorities).is_dir()
    context = ssl.create_default_context(
        cafile=None if is_folder else authorities, capath=authorities if is_folder else None
    )
    if session.cert is not None:
        chain = (session.cert,) if isinstance(session.cert, str) else session.cert
        context.load_cert_chain(*chain)
    # The daemon ends one direction by FIN alone; one that is cut is reset.
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    context.sslsocket_class = TlsTunnel
    return context


def _switch(sock: socket.socket, request: requests.PreparedRequest) -> None:
    """Have the daemon leave HTTP.

    Raises:
        ApiError: It refuses.
        BadAnswerError, OSError, HTTPException: It is no answer of a daemon.
    """
    parts = urlsplit(request.url or "")
    headers = {**request.headers, "Host": parts.netloc, "Connection": "Upgrade", "Upgrade": "tcp"}
    headers["Content-Length"] = "0"
    lines = [f"POST {parts.path} HTTP/1.1", *(f"{name}: {_text(value)}" for name, value in headers.items())]
    sock.sendall("\r\n".join((*lines, "", "")).encode("latin-1"))
    status, answer = _head(sock)
    if status == _SWITCHED:
        return
    length = answer.get("Content-Length", "0")
    body = _read(sock, min(int(length), _BODY_MOST) if length.isdecimal() else 0)
    raise api_error(read_problem(status, answer, body))


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _head(sock: socket.socket) -> tuple[int, dict[str, Any]]:
    """Read the head of the answer and nothing beyond it, which is the tunnel's already."""
    raw = bytearray()
    while not raw.endswith(b"\r\n\r\n"):
        piece = sock.recv(1)
        if not piece:
            raise ConnectionResetError("the daemon hung up in the head of its answer")
        raw += piece
        if len(raw) > _HEAD_MOST:
            raise BadAnswerError("the head of the answer is endless; is this URL really socketd's?")
    line, _, rest = bytes(raw).partition(b"\r\n")
    words = line.split(None, 2)
    is_status = len(words) > 1 and words[0].startswith(b"HTTP/1.") and words[1].isdigit()
    if not is_status:
        raise BadAnswerError("the answer is no HTTP; is this URL really socketd's?")
    return int(words[1]), dict(parse_headers(io.BytesIO(rest)).items())


def _read(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise ConnectionResetError("the daemon hung up in the body of its answer")
        data += piece
    return bytes(data)
