"""``Idempotency-Key``: the answer is kept a while, and a repeat gets that, and is not done again.

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

_HEADER: Final = "Idempotency-Key"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_CHANGING: Final = frozenset({"POST", "PUT", "DELETE"})
_OPTION: Final = "/options/"
"""Reading one may use it up: the kernel forgets what SO_ERROR has told."""
_BY_POSITION: Final = re.compile(r"/v1/sockets/[^/]+/stream")
"""An upload has a key too, and is repeated from where it stopped: ``web/resources/streams.py`` reads that."""


class _Gate:
    """What stands in front of every request, and behind it."""

    def __init__(self) -> None:
        self._answers = Answers()

    def begin(self) -> Response | None:
        """Give the kept answer of a request that names a key, or note that it is under way.

        Raises:
            InvalidRequestError: The key is none.
            CutBodyError: The body ended early; nothing is noted under the key.
        """
        key = key_of(request) if _is_done_once(request) else None
        if key is None:
            return None
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
    """Put a store in front of whatever is to be done once and names a key."""
    gate = _Gate()
    app.before_request(gate.begin)
    app.after_request(gate.finish)
    app.teardown_request(gate.abandon)


def key_of(asked: Request) -> str | None:
    """Read the key of a request, if it has one.

    Raises:
        InvalidRequestError: It is none.
    """
    key = asked.headers.get(_HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidRequestError(f"{_HEADER} must be 1 to 255 visible ASCII characters", member=_HEADER)
    return key


def _is_done_once(asked: Request) -> bool:
    if _BY_POSITION.fullmatch(asked.path):
        return False
    return asked.method in _CHANGING or (asked.method == "GET" and _OPTION in asked.path)


def _digest(of: Request) -> bytes:
    """Tell requests apart by all that the answer depends on."""
    asked_for = (of.full_path, of.mimetype, of.headers.get("Accept", ""), of.headers.get("If-Match", ""))
    head = "\0".join((of.method, *asked_for)).encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(head + b"\0")
    digest.update(of.get_data())  # which may be megabytes: not copied
    return digest.digest()


def _request_key(asked: Call, key: str, digest: bytes) -> str:
    """Make of it what is noted beside the sockets that the request makes, and outlives this process."""
    who = f"{asked.caller.via}\0{asked.caller.owner}\0{key}\0".encode()
    return hashlib.blake2b(who + digest, digest_size=16).hexdigest()
