"""One request to the daemon, and what it answered."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlencode

from socketd_client.errors import BadAnswerError

JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"
NDJSON: Final = "application/x-ndjson"
TEXT: Final = "text/plain"

_PIECE_BYTES: Final = 256 * 1024
_TIMEOUT: Final = "timeout"
_SHORTEST_S: Final = 0.001
"""0 would be another question: it is answered with EAGAIN, not with a timeout."""


class BodyOutOfTimeError(Exception):
    """The time was over before a body was sent; no ``OSError``, so that nobody takes it for the network's."""


class Pieces:
    """A body that is sent piece by piece, so that each has the time in which a connection may stand still.

    Args:
        body: The bytes; they are not copied.
        deadline: Nothing more is sent from then on, in ``time.monotonic()`` seconds.
    """

    __slots__ = ("_body", "_deadline", "nbytes")

    def __init__(self, body: memoryview, deadline: float | None = None) -> None:
        self._body = body
        self._deadline = deadline
        self.nbytes = body.nbytes

    def __iter__(self) -> Iterator[memoryview]:
        """Begin anew: a request may be sent again."""
        for start in range(0, self.nbytes, _PIECE_BYTES):
            if self._deadline is not None and time.monotonic() > self._deadline:
                raise BodyOutOfTimeError
            yield self._body[start : start + _PIECE_BYTES]


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the daemon.

    Attributes:
        query: Parameters; those that are ``None`` are left out.
        body: JSON for a dict, else the bytes themselves.
        accept: The media type wanted.
        if_match: The cookie of the socket that is meant, or of each of several.
        wait_s: How long the daemon was asked to wait; the HTTP timeout is that much longer.
        headers: More of them; they replace what an attempt would say, as ``Idempotency-Key``.
        into: Where the bytes of a good answer may go at once, if they fit.
    """

    method: str
    path: str
    query: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | memoryview | Pieces | None = None
    accept: str = JSON
    if_match: int | tuple[int, ...] | None = None
    wait_s: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    into: memoryview | None = None

    def target(self) -> str:
        """Write path and query as they go on the wire."""
        given = {name: _text(value) for name, value in (self.query or {}).items() if value is not None}
        return f"{self.path}?{urlencode(given)}" if given else self.path

    def entity_tags(self) -> str:
        """Write ``if_match`` as it goes on the wire."""
        cookies = self.if_match if isinstance(self.if_match, tuple) else (self.if_match,)
        return ", ".join(f'"{cookie}"' for cookie in cookies)

    def shortened(self, left_s: float) -> Call:
        """Return the same call with no more than ``left_s`` of its wait; itself if it does not say one."""
        wait_s = max(min(self.wait_s, left_s), _SHORTEST_S)
        if isinstance(self.body, Mapping) and self.body.get(_TIMEOUT):
            return replace(self, body={**self.body, _TIMEOUT: wait_s}, wait_s=wait_s)
        if self.query is not None and self.query.get(_TIMEOUT):
            return replace(self, query={**self.query, _TIMEOUT: wait_s}, wait_s=wait_s)
        return self


@dataclass(frozen=True, slots=True)
class Request:
    """What an attempt at a call sends.

    Attributes:
        target: Path and query, as they go on the wire.
        into: As of the call.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: memoryview | Pieces | None
    into: memoryview | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the daemon answered.

    Attributes:
        placed: So many bytes went ``into`` the call's buffer instead of ``body``.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    placed: int = 0

    def json(self) -> Any:
        """Parse the body.

        Raises:
            BadAnswerError: It is no JSON object.
        """
        try:
            data = json.loads(self.body)
        except ValueError as error:
            raise BadAnswerError("the answer is no JSON; is this URL really socketd's?") from error
        if not isinstance(data, dict):
            raise BadAnswerError(f"the answer is a JSON {type(data).__name__}, not an object")
        return data


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
