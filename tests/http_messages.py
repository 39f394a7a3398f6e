"""HTTP/1.1 messages as they go by: piece by piece, unchanged, and where each of them ends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

PIECE = 65536
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


class BrokenError(Exception):
    """A connection ended in the middle of a message."""


class Messages:
    """Reads messages off a socket, which stays the caller's."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._rest = b""

    def head(self) -> bytes:
        """Read a head with its empty line; ``b""`` where the connection ends instead.

        Raises:
            BrokenError: It ends in the middle.
        """
        while b"\r\n\r\n" not in self._rest:
            data = self.sock.recv(PIECE)
            if not data:
                if self._rest:
                    raise BrokenError
                return b""
            self._rest += data
        return self._until(b"\r\n\r\n")

    def body(self, head: bytes) -> Iterator[bytes]:
        """Read the body that belongs to a head, as it is on the wire.

        Raises:
            BrokenError: The connection ends in the middle.
        """
        found = _LENGTH.search(head)
        if found is not None:
            yield from self._exactly(int(found[1]))
        elif _CHUNKED.search(head):
            yield from self._chunks()

    def _chunks(self) -> Iterator[bytes]:
        while True:
            line = self._line()
            yield line
            size = int(line.split(b";")[0], 16)
            yield from self._exactly(size)
            end = self._line()  # the end of the chunk; after the last one, trailers and an empty line
            yield end
            while not size and end != b"\r\n":
                end = self._line()
                yield end
            if not size:
                return

    def _exactly(self, count: int) -> Iterator[bytes]:
        while count:
            if not self._rest:
                self._more()
            piece, self._rest = self._rest[:count], self._rest[count:]
            count -= len(piece)
            yield piece

    def _line(self) -> bytes:
        while b"\r\n" not in self._rest:
            self._more()
        return self._until(b"\r\n")

    def _until(self, mark: bytes) -> bytes:
        end = self._rest.index(mark) + len(mark)
        piece, self._rest = self._rest[:end], self._rest[end:]
        return piece

    def _more(self) -> None:
        data = self.sock.recv(PIECE)
        if not data:
            raise BrokenError
        self._rest += data


def status_of(head: bytes) -> int:
    """Return the status that an answer begins with; 0 if it is no answer."""
    found = _STATUS.match(head)
    return int(found[1]) if found else 0


def length_of(head: bytes) -> int | None:
    """Return how long the body is; ``None`` if the head does not say."""
    found = _LENGTH.search(head)
    return int(found[1]) if found else None


def is_last(head: bytes) -> bool:
    """Tell whether the connection ends with this message."""
    return b"\r\nconnection: close" in head.lower()
