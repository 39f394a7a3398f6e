"""The smallest HTTP client that the daemon's answers need: bytes out, bytes in, one connection kept."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE_S: Final = 120.0
CHUNK_BYTES: Final = 1 << 20
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_END: Final = b"\r\n\r\n"


def request(method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> bytes:
    """Write a request once, so that asking costs the client no more than a send; JSON unless ``bytes``."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    data = b""
    if body is not None:
        is_bytes = isinstance(body, bytes)
        data = body if is_bytes else json.dumps(body).encode()
        lines += [
            f"Content-Type: application/{'octet-stream' if is_bytes else 'json'}",
            f"Content-Length: {len(data)}",
        ]
    return "\r\n".join([*lines, "", ""]).encode() + data


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Parse the body."""
        return json.loads(self.body)


class Wire:
    """One connection to a server on a Unix socket.

    Args:
        path: Of the server's socket.
    """

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self._rest = bytearray()
        try:
            self.sock.connect(path)  # with a timeout set, a full backlog would be EAGAIN at once
            self.sock.settimeout(PATIENCE_S)
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def ask(self, raw: bytes, expected: int = 200) -> Answer:
        """Send a request and read its answer.

        Raises:
            RuntimeError: It is not the answer that was expected, so the figure would mean nothing.
        """
        self.send(raw)
        return self.read(expected)

    def ask_all(self, raw: list[bytes], expected: int = 200) -> list[Answer]:
        """Send requests in one write (HTTP pipelining) and read their answers."""
        self.send(b"".join(raw))
        return [self.read(expected) for _ in raw]

    def send(self, raw: bytes) -> None:
        """Send a request whose answer is read later."""
        self.sock.sendall(raw)

    def read(self, expected: int = 200) -> Answer:
        """Read the answer to a request that was sent before."""
        data, self._rest = self._rest, bytearray()
        while (end := data.find(_END)) < 0:
            self._more(data)
        status = int(data[9:12])
        found = _LENGTH.search(data, 0, end + 2)
        whole = end + len(_END) + (int(found[1]) if found else 0)
        while len(data) < whole:
            self._more(data)
        self._rest = data[whole:]
        answer = Answer(status, bytes(data[end + len(_END) : whole]))
        if status != expected:
            raise RuntimeError(f"{expected} expected, but: {status} {answer.body[:500]!r}")
        return answer

    def _more(self, data: bytearray) -> None:
        piece = self.sock.recv(CHUNK_BYTES)
        if not piece:
            raise RuntimeError(f"the server has closed the connection after {bytes(data[:500])!r}")
        data += piece
