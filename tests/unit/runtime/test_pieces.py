"""Bodies of gunicorn's parser, read as they come: at every boundary, to their end and not beyond."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.http.parser import RequestParser

from socketd.runtime.pieces import read1

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = b"PUT / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
SIZE = 65536


class Client:
    """A client that sends what the test says, and the parser at the other end."""

    def __init__(self) -> None:
        self.sock, self.far = socket.socketpair()
        self.far.settimeout(10)
        self.parser = RequestParser(Config(), self.far, ("127.0.0.1", 1))

    def close(self) -> None:
        """Close both ends."""
        self.sock.close()
        self.far.close()


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client()
    yield made
    made.close()


def test_bytes_come_before_the_body_is_whole(client: Client):
    client.sock.sendall(HEAD + b"Content-Length: 6\r\n\r\none")
    body = next(client.parser).body
    assert read1(body, SIZE) == b"one"
    client.sock.sendall(b"two")
    assert read1(body, SIZE) == b"two"
    assert read1(body, SIZE) == b""


def test_what_is_behind_the_body_is_the_next_request(client: Client):
    client.sock.sendall(HEAD + b"Content-Length: 3\r\n\r\none" + NEXT)
    assert read1(next(client.parser).body, SIZE) == b"one"
    assert next(client.parser).path == "/next"


def test_more_than_is_wanted_is_left(client: Client):
    client.sock.sendall(HEAD + b"Content-Length: 20000\r\n\r\n" + bytes(20_000) + NEXT)
    body = next(client.parser).body
    sizes = []
    while piece := read1(body, 8192):
        sizes.append(len(piece))
    assert (sum(sizes), max(sizes)) == (20_000, 8192)
    assert next(client.parser).path == "/next"


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_chunks_come_as_they_do_however_they_are_cut(client: Client, step: int):
    wire = b"3\r\none\r\n5;name=value\r\nother\r\n0\r\nX-Sum: x\r\n\r\n" + NEXT
    client.sock.sendall(CHUNKED)
    body = next(client.parser).body
    for start in range(0, len(wire), step):
        client.sock.sendall(wire[start : start + step])
    found = b""
    while piece := read1(body, SIZE):
        found += piece
    assert found == b"oneother"
    assert read1(body, SIZE) == b""
    assert next(client.parser).path == "/next"


def test_chunk_is_given_before_it_is_whole(client: Client):
    client.sock.sendall(CHUNKED + b"a\r\nhalf")
    body = next(client.parser).body
    assert read1(body, SIZE) == b"half"
    client.sock.sendall(b" other\r\n0\r\n\r\n")
    assert read1(body, SIZE) == b" other"
    assert read1(body, SIZE) == b""


@pytest.mark.parametrize(
    "wire", [HEAD + b"Content-Length: 6\r\n\r\none", CHUNKED + b"6\r\none", CHUNKED + b"3\r\none\r\n"]
)
def test_end_before_the_end_is_an_error(client: Client, wire: bytes):
    client.sock.sendall(wire)
    client.sock.shutdown(socket.SHUT_WR)
    body = next(client.parser).body
    assert read1(body, SIZE) == b"one"
    with pytest.raises(NoMoreData):
        read1(body, SIZE)


def test_malformed_chunk_is_an_error(client: Client):
    client.sock.sendall(CHUNKED + b"3\r\none\r\nnonsense\r\n")
    body = next(client.parser).body
    assert read1(body, SIZE) == b"one"
    with pytest.raises(ParseException):
        read1(body, SIZE)


def test_no_body_is_the_end(client: Client):
    client.sock.sendall(HEAD + b"\r\n")
    assert read1(next(client.parser).body, SIZE) == b""
