"""The short way to an answer: over a connection that stands already, by ``http.client`` alone.

``requests`` and ``urllib3`` do much for every request that this API has no use for; it costs three times what
is left here. The connections are theirs all the same: how one is made, with TLS and proxies, only they know.
"""

from __future__ import annotations

import errno
import re
from http.client import HTTPResponse, IncompleteRead
from typing import TYPE_CHECKING, Final, cast

from urllib3.exceptions import ReadTimeoutError

from socketd_client.calls import Answer, Pieces
from socketd_client.failing import check_head

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from urllib3.connection import HTTPConnection

    from socketd_client.calls import Request

_OK: Final = 200
# So many bytes of a body are copied, to go with the head in one write.
_COPIED_AT_MOST: Final = 64 * 1024
# Whoever hung up may have said why before; so the answer is looked for all the same.
_HUNG_UP: Final = (errno.EPIPE, errno.ECONNRESET)
# What ends a line of a head, or might for some server.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def ask(connection: HTTPConnection, request: Request, send_s: float, answer_s: float) -> Answer:
    """Send a request over an idle connection, and read its whole answer.

    Args:
        connection: Closed on return where nothing more can be asked over it, and when this raises.
        request: What to send.
        send_s: How long a piece of the request may take to leave.
        answer_s: How long a step of the answer may take to come.

    Raises:
        OSError, HTTPException, HTTPError: The answer did not come, or not all of it.
        ValueError: A header cannot be sent.
    """
    sock = connection.sock
    try:
        head = _head(request)
        sock.settimeout(send_s)
        try:
            _send(sock, head, request)
        except OSError as error:
            if error.errno not in _HUNG_UP:  # a signal handler's own has none
                raise
        sock.settimeout(answer_s)
        try:
            answer, is_last = _read(sock, request)
        except TimeoutError as error:
            raise ReadTimeoutError(None, request.target, str(error)) from error  # type: ignore[arg-type]
    except BaseException:
        connection.close()
        raise
    if is_last:
        connection.close()
    return answer


def _head(request: Request) -> bytes:
    lines = [f"{request.method} {request.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    if any(map(_CONTROL.search, lines)):
        raise ValueError("a header of the request has a control character")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _send(sock: socket.socket, head: bytes, request: Request) -> None:
    body = request.body
    if isinstance(body, Pieces):
        sock.sendall(head)
        for piece in body:
            sock.sendall(piece)
    elif body is None or len(body) <= _COPIED_AT_MOST:
        sock.sendall(b"".join((head, body or b"")))
    else:
        sock.sendall(head)
        sock.sendall(body)


def _read(sock: socket.socket, request: Request) -> tuple[Answer, bool]:
    """Read an answer; tell as well whether it is the connection's last."""
    with HTTPResponse(sock, method=request.method) as response:
        response.begin()
        headers = cast("Mapping[str, str]", response.headers)
        check_head(response.status, headers, response.version)
        into = request.into
        if into is None or response.status != _OK or not 0 < (response.length or 0) <= len(into):
            answer = Answer(response.status, headers, response.read())
        else:
            answer = Answer(response.status, headers, b"", _fill(into[: response.length], response))
        return answer, response.will_close


def _fill(view: memoryview, response: HTTPResponse) -> int:
    size = 0
    while size < len(view):
        came = response.readinto(view[size:])
        if not came:
            raise IncompleteRead(b"", len(view) - size)
        size += came
    return size
