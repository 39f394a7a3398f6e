"""Attempts at calls, written as requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

from socketd_client.calls import BYTES, JSON, Request
from socketd_client.repeating import INSTANCE, is_keyed

if TYPE_CHECKING:
    from socketd_client.repeating import Attempt


class Writer:
    """Writes the requests of one client.

    Args:
        base: URL of the daemon, without what its paths begin with.
        token: Bearer token, for TCP.
    """

    def __init__(self, base: str, token: str | None) -> None:
        self._blank = requests.Request("GET", base).prepare()
        where = urlsplit(self._blank.url or "")
        self._origin, self._prefix = f"{where.scheme}://{where.netloc}", where.path.rstrip("/")
        self._headers = {"Host": where.netloc, "User-Agent": "socketd-client", "Accept-Encoding": "identity"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"

    def write(self, attempt: Attempt) -> Request:
        """Write what an attempt sends: the same for the same attempt."""
        call = attempt.call
        headers = {**self._headers, "Accept": call.accept}
        if call.if_match is not None:
            headers["If-Match"] = call.entity_tags()
        if is_keyed(call):
            headers["Idempotency-Key"] = attempt.key
        if attempt.instance is not None:
            headers[INSTANCE] = attempt.instance
        headers.update(call.headers)
        body: Any = call.body
        if isinstance(body, Mapping):
            body = memoryview(json.dumps(body, separators=(",", ":")).encode())
            headers["Content-Type"] = JSON
        elif body is not None:
            headers["Content-Type"] = BYTES
        if body is not None or call.method == "POST":
            headers["Content-Length"] = "0" if body is None else str(body.nbytes)
        return Request(call.method, self._prefix + call.target(), headers, body, call.into)

    def prepare(self, request: Request) -> requests.PreparedRequest:
        """Give a request the form in which a session takes it."""
        prepared = self._blank.copy()
        prepared.method, prepared.url = request.method, self._origin + request.target
        prepared.headers.update(request.headers)
        # urllib3 sends any buffer as it is.
        prepared.body = request.body  # type: ignore[assignment]
        return prepared
