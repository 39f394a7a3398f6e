"""``Idempotency-Key``: the answer of a change is kept a while, and a repeat is answered, not done again.

The answers end with the daemon. With a keeper its sockets do not; so the key goes into ``Call.key``, is noted
beside the sockets that the request makes, and tells the service of a repeat that comes after a restart.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from flask import Flask, Request, Response, g, request

from socketd.errors import InvalidRequestError
from socketd.web.answers import Answers
from socketd.web.caller import REQUEST_KEY, call

if TYPE_CHECKING:
    from socketd.service import Call

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_CHANGING: Final = frozenset({"POST", "PUT", "DELETE"})
_BY_POSITION: Final = "/stream"
"""An upload has a key too, and is repeated from where it stopped: ``web/resources/streams.py`` reads that."""


class _Gate:
    """What stands in front of every request, and behind it."""

    def __init__(self) -> None:
        self._answers = Answers()

    def begin(self) -> Response | None:
        """Give the kept answer of a change that names a key, or note that it is under way.

        Raises:
            InvalidRequestError: The key is none.
            CutBodyError: The body ended early; nothing is noted under the key.
        """
        key = request.headers.get("Idempotency-Key")
        if key is None or request.method not in _CHANGING or request.path.endswith(_BY_POSITION):
            return None
        if not _KEY.fullmatch(key):
            raise InvalidRequestError(
                "Idempotency-Key must be 1 to 255 visible ASCII characters", member="Idempotency-Key"
            )
        asked = call()
        digest = _digest(request)
        found = self._answers.begin(asked, key, digest)
        if isinstance(found, Response):
            return found
        request.environ[REQUEST_KEY] = _request_key(asked, key, digest)
        g.idempotent = (asked, key, found)
        return None

    def finish(self, response: Response) -> Response:
        """Keep the answer."""
        self._end(response)
        return response

    def abandon(self, _error: BaseException | None) -> None:
        """Forget a request that ended without any answer."""
        self._end(None)

    def _end(self, response: Response | None) -> None:
        begun = g.pop("idempotent", None)
        if begun is not None:
            asked, key, record = begun
            self._answers.finish(asked, key, record, response)


def install(app: Flask) -> None:
    """Put a store in front of every change that names a key."""
    gate = _Gate()
    app.before_request(gate.begin)
    app.after_request(gate.finish)
    app.teardown_request(gate.abandon)


def _digest(of: Request) -> bytes:
    """Tell requests apart by all that the answer depends on."""
    asked_for = (of.full_path, of.mimetype, of.headers.get("Accept", ""), of.headers.get("If-Match", ""))
    head = "\0".join((of.method, *asked_for)).encode("utf-8", "surrogatepass")
    return hashlib.sha256(head + b"\0" + of.get_data()).digest()


def _request_key(asked: Call, key: str, digest: bytes) -> str:
    """Make of it what is noted beside the sockets that the request makes, and outlives this process."""
    who = f"{asked.caller.via}\0{asked.caller.owner}\0{key}\0".encode()
    return hashlib.blake2b(who + digest, digest_size=16).hexdigest()
