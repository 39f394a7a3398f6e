"""Long bodies of gunicorn's parser, read whole: to their end, not beyond, and not more than came."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser

from socketd.runtime.chunks import with_checked_chunks

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 1_000_000
BODY = bytes(range(250)) * (SIZE // 250)
HEAD = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n".encode()
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"


class Conversation:
    """A client that sends what a test says, and the application's reading of it."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.far.settimeout(10)
        self.parser = RequestParser(Config(), self.far, ("127.0.0.1", 1))
        self.body: Any = None

    def read(self, sent: bytes) -> bytes:
        """Send, end the sending, and read the body of the next request."""

        def send() -> None:
            self.near.sendall(sent)
            self.near.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            self.body = next(self.parser).body
            environ = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(SIZE), "wsgi.input": self.body}
            read = with_checked_chunks(lambda environ, _: environ["wsgi.input"].read(SIZE))
            return read(environ, None)  # type: ignore[no-any-return]
        finally:
            sender.join(10)


@pytest.fixture
def conversation() -> Iterator[Conversation]:
    made = Conversation()
    yield made
    made.near.close()
    made.far.close()


def test_a_long_body_is_read_whole_and_the_next_request_is_left(conversation: Conversation):
    assert conversation.read(HEAD + BODY + NEXT) == BODY
    assert next(conversation.parser).path == "/next"


@pytest.mark.parametrize("size", [0, 1, 5_000, 300_000, SIZE - 1])
def test_a_body_that_breaks_off_is_as_long_as_it_was(conversation: Conversation, size: int):
    assert conversation.read(HEAD + BODY[:size]) == BODY[:size]


def test_after_a_failure_no_next_request_is_looked_for(conversation: Conversation):
    conversation.far.settimeout(0.01)
    conversation.near.sendall(HEAD)
    body = next(conversation.parser).body
    environ = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(SIZE), "wsgi.input": body}
    with pytest.raises(TimeoutError):
        with_checked_chunks(lambda environ, _: environ["wsgi.input"].read(SIZE))(environ, None)
    assert body.failed
