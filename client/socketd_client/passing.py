"""Descriptors between this process and the daemon: taken over HTTP, given over a connection of their own."""

from __future__ import annotations

import array
import contextlib
import errno
import itertools
import json
import os
import socket
import struct
from dataclasses import replace
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, Final, cast

from urllib3.exceptions import HTTPError

from socketd_client.calls import Call
from socketd_client.descriptors import MOST_DESCRIPTORS, close_all, receiving
from socketd_client.errors import (
    BadAnswerError,
    ConnectionLostError,
    SocketdError,
    TransportError,
    api_error,
    connect_error,
)
from socketd_client.failing import check_head
from socketd_client.problem import read_problem
from socketd_client.repeating import INSTANCE, MOST_BROKEN
from socketd_client.transport import connect_unix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from socketd_client.calls import Answer
    from socketd_client.descriptors import Received
    from socketd_client.exchange import Exchange
    from socketd_client.repeating import Attempt

_COUNT: Final = "Socket-Descriptors"
_LENGTH: Final = struct.Struct(">I")
_COOKIE: Final = struct.Struct("=Q")
_SO_COOKIE: Final = 57  # asm-generic/socket.h
_SWITCHED: Final = 101
_FIRST_BAD_STATUS: Final = 300
_PROBLEM: Final = {"Content-Type": "application/problem+json"}


def take(exchange: Exchange, call: Call, count: int) -> tuple[Answer | None, list[socket.socket]]:
    """Send a take of ``count`` sockets; return the answer and the sockets, which are the caller's.

    A take is sent again if the connection breaks: that changes nothing. With ``release`` the daemon forgets
    its own once all have been read, so it is sent again only as long as some have not; and if all have come,
    they are returned without an answer (``None``), for they may be the only ones.

    Raises:
        OSError: EMFILE, they do not fit into this process. A release is then not even asked for.
        ApiError, TransportError: As for every call; everything that came is closed.
    """
    body: Any = call.body or {}
    with receiving(room=count if body.get("release") else 0) as received:
        answer = _released(exchange, call, received, count) if body.get("release") else exchange.send(call)
        descriptors = received.detach()
    announced = str(count) if answer is None else answer.headers.get(_COUNT)
    if announced != str(len(descriptors)) or len(descriptors) != count:
        close_all(descriptors)
        raise BadAnswerError(
            f"{count} descriptors were asked for, {announced} announced, {len(descriptors)} came"
        )
    if answer is None:
        _release_again(exchange, call, descriptors)
    return answer, _sockets(descriptors, is_blocking=bool(body.get("blocking")))


def _released(exchange: Exchange, call: Call, received: Received, count: int) -> Answer | None:
    for broken in itertools.count(1):
        # Looked at after each: the next answer closes what came before it.
        try:
            return exchange.send(call)
        except TransportError as error:
            if received.count == count:
                return None
            if broken == MOST_BROKEN or not isinstance(error, ConnectionLostError):
                raise
    raise AssertionError("unreachable")


def _release_again(exchange: Exchange, call: Call, descriptors: Sequence[int]) -> None:
    """Have a daemon that died before it forgot the sockets, or its successor, forget them.

    What comes is closed. ``If-Match`` makes sure that it is these sockets; that there is none (404) is how it
    should be.
    """
    with contextlib.suppress(SocketdError, OSError), receiving(room=len(descriptors)):
        known = call.if_match or tuple(map(_cookie, descriptors))
        exchange.send(replace(call, if_match=known))


def _cookie(descriptor: int) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        (cookie,) = _COOKIE.unpack(sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, _COOKIE.size))
    return int(cookie)


def _sockets(descriptors: list[int], *, is_blocking: bool) -> list[socket.socket]:
    """Make objects of numbers; takes ownership of all of them, also when it fails."""
    made: list[socket.socket] = []
    try:
        while len(made) < len(descriptors):
            made.append(socket.socket(fileno=descriptors[len(made)]))
            # As the daemon has set it: this tells only the object.
            made[-1].setblocking(is_blocking)
    except BaseException:
        close_all(descriptors[len(made) :])
        for sock in made:
            sock.close()
        raise
    return made


def give(
    exchange: Exchange, descriptors: Sequence[int], offers: Sequence[dict[str, Any]], *, existing_ok: bool
) -> Any:
    """Give descriptors, which stay the caller's; return the daemon's JSON.

    Raises:
        OSError: EOPNOTSUPP over TCP; EBADF, one of them is not open here.
        ApiError: The daemon refuses; it has kept none of them.
        TransportError: There was no answer; it has kept none, or all.
    """
    endpoint = exchange.endpoint
    path = endpoint.socket_path
    if path is None:
        raise OSError(errno.EOPNOTSUPP, "descriptors travel over the daemon's Unix socket, not over TCP")
    for fd in descriptors:
        os.fstat(fd)  # EBADF now, and not in the middle

    def make(attempt: Attempt) -> Any:
        try:
            sock = connect_unix(path, exchange.timeout_s)
        except OSError as error:
            raise connect_error(endpoint.url, error) from error
        with sock:
            try:
                _switch(exchange, sock, attempt)
                status, body = _hand_over(sock, descriptors, offers)
            except SocketdError:  # a refusal may be an OSError, too
                raise
            except (OSError, HTTPException, HTTPError) as error:
                raise ConnectionLostError(
                    f"the connection to {endpoint.url} broke while giving: {error}",
                    reason=error if isinstance(error, OSError) else None,
                ) from error
        if status >= _FIRST_BAD_STATUS:
            raise api_error(read_problem(status, _PROBLEM, json.dumps(body).encode()))
        return body

    query = {"existing": "ok"} if existing_ok else None
    return exchange.insist(Call("POST", "/v1/sockets/give", query), make)


def _switch(exchange: Exchange, sock: socket.socket, attempt: Attempt) -> None:
    to_whom = "" if attempt.instance is None else f"{INSTANCE}: {attempt.instance}\r\n"
    sock.sendall(
        f"POST {attempt.call.target()} HTTP/1.1\r\n{to_whom}Host: localhost\r\nUser-Agent: socketd-client\r\n"
        f"Idempotency-Key: {attempt.key}\r\nConnection: Upgrade\r\nUpgrade: socketd-give\r\n\r\n".encode()
    )
    # Its buffer may read ahead, but the daemon says nothing more before the manifest has come.
    with HTTPResponse(sock, method="POST") as response:
        response.begin()
        exchange.note(response.getheader(INSTANCE))
        if response.status != _SWITCHED:
            check_head(response.status, cast("Mapping[str, str]", response.headers), response.version)
            raise api_error(read_problem(response.status, dict(response.headers), response.read()))


def _hand_over(
    sock: socket.socket, descriptors: Sequence[int], offers: Sequence[dict[str, Any]]
) -> tuple[int, Any]:
    manifest = json.dumps({"sockets": list(offers)}, separators=(",", ":")).encode()
    # A refusal may have come and the connection be gone; it is read all the same.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        sock.sendall(_LENGTH.pack(len(manifest)) + manifest)
    for start in range(0, len(descriptors), MOST_DESCRIPTORS):
        batch = array.array("i", descriptors[start : start + MOST_DESCRIPTORS])
        count = bytes((len(batch),))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendmsg([count], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, batch)])
        said = _read(sock, 1)
        if said == b"\0":
            break
        if said != count:
            raise BadAnswerError(f"{count[0]} descriptors were given, {said[0]} acknowledged")
    (length,) = _LENGTH.unpack(_read(sock, _LENGTH.size))
    try:
        answer = json.loads(_read(sock, length))
        return int(answer["status"]), answer["body"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadAnswerError(f"the answer to a give cannot be read: {error}") from error


def _read(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = sock.recv(min(size - len(data), 1 << 20))
        if not piece:
            raise ConnectionLostError("the daemon hung up in the middle of a give")
        data += piece
    return bytes(data)
