"""One request to the daemon, and what it answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from socketd_client.errors import BadAnswerError

JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"
NDJSON: Final = "application/x-ndjson"
TEXT: Final = "text/plain"

_TIMEOUT: Final = "timeout"
_SHORTEST_S: Final = 0.001
"""0 would be another question: it is answered with EAGAIN, not with a timeout."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the daemon.

    Attributes:
        query: Parameters; those that are ``None`` are left out.
        body: JSON for a dict, the bytes themselves for anything with a buffer.
        accept: The media type wanted.
        if_match: The cookie of the socket that is meant.
        wait_s: How long the daemon was asked to wait; the HTTP timeout is that much longer.
    """

    method: str
    path: str
    query: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | memoryview | None = None
    accept: str = JSON
    if_match: int | None = None
    wait_s: float = 0.0

    def target(self) -> str:
        """Write path and query as they go on the wire."""
        given = {name: _text(value) for name, value in (self.query or {}).items() if value is not None}
        return f"{self.path}?{urlencode(given)}" if given else self.path

    def shortened(self, left_s: float) -> Call:
        """Return the same call with no more than ``left_s`` of its wait; itself if it does not say one."""
        wait_s = max(min(self.wait_s, left_s), _SHORTEST_S)
        if isinstance(self.body, Mapping) and self.body.get(_TIMEOUT):
            return replace(self, body={**self.body, _TIMEOUT: wait_s}, wait_s=wait_s)
        if self.query is not None and self.query.get(_TIMEOUT):
            return replace(self, query={**self.query, _TIMEOUT: wait_s}, wait_s=wait_s)
        return self


@dataclass(frozen=True, slots=True)
class Answer:
    """What the daemon answered, when it did what was asked."""

    status: int
    headers: Mapping[str, str]
    body: bytes

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
