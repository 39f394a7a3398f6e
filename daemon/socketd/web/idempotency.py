"""``Idempotency-Key``: the answer of a POST is kept a while, and a repeat is answered, not done again.

The answers end with the daemon. With a keeper its sockets do not; so the key goes into ``Call.key``, is noted
beside the sockets that the request makes, and tells the service of a repeat that comes after a restart.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from flask import Flask, Request, Response, g, request

from socketd.errors import InvalidRequestError
from socketd.web.caller import REQUEST_KEY, call, house
from socketd.web.representation import DESCRIPTORS

if TYPE_CHECKING:
    from socketd.core.owner import Owner
    from socketd.core.seams import Pause
    from socketd.service import Call

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_S: Final = 600.0
_MOST_ANSWERS: Final = 1024
_MOST_BYTES: Final = 32 * 1024 * 1024
_MOST_BYTES_OF_ALL: Final = 64 * 1024 * 1024
_OVERHEAD_BYTES: Final = 1024  # of a record and its headers, about
_MOST_CALLERS: Final = 64
_FORGOTTEN_AT_ONCE: Final = 32
"""So that no request pays for many; the bounds are met again within a few."""
# What says that nothing was done, and that asking again may turn out otherwise, is not kept.
_NOT_KEPT: Final = frozenset({101, 401, 408, 429, 499, 500, 503})


class KeyReusedError(InvalidRequestError):
    """The key came before, with another request."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "this Idempotency-Key was used for another request",
            hint="make a new key for each thing to be done",
        )


@dataclass(slots=True, eq=False)
class _Record:
    """One request with its key: under way while it has no answer."""

    digest: bytes
    started_at: float
    answer: tuple[int, list[tuple[str, str]], bytes] | None = None
    waiting: set[Pause] = field(default_factory=set)

    @property
    def size(self) -> int:
        return 0 if self.answer is None else len(self.answer[2]) + _OVERHEAD_BYTES


@dataclass(slots=True)
class _Shelf:
    """The records of one caller, oldest first, and the bytes their answers take."""

    records: OrderedDict[str, _Record] = field(default_factory=OrderedDict)
    total_bytes: int = 0

    def keep(self, record: _Record, response: Response, most_bytes: int) -> None:
        """Keep an answer; forget the oldest until the rest is young, few and small enough."""
        headers = [(name, value) for name, value in response.headers if name != "X-Request-Id"]
        record.answer = (response.status_code, headers, response.get_data())
        self.total_bytes += record.size
        oldest = time.monotonic() - _KEPT_S
        for key in list(islice(self.records, _FORGOTTEN_AT_ONCE)):
            is_young = self.records[key].started_at > oldest
            if is_young and len(self.records) <= _MOST_ANSWERS and self.total_bytes <= most_bytes:
                return
            self._forget(key)

    def shrink(self) -> None:
        """Forget the oldest answer."""
        for key, record in self.records.items():
            if record.answer is not None:
                self._forget(key)
                return

    def _forget(self, key: str) -> None:
        if self.records[key].answer is not None:  # one under way is not forgotten
            self.total_bytes -= self.records.pop(key).size


class Answers:
    """Kept answers, by caller and key; bounded for each in number, bytes and time, and for all in bytes."""

    def __init__(self) -> None:
        self._shelves: OrderedDict[tuple[str, Owner], _Shelf] = OrderedDict()

    def begin(self, asked: Call, key: str, digest: bytes) -> _Record | Response:
        """Start a request under its key, or give the answer that is kept.

        A repeat that comes while the first is still under way waits for it: the first ends at once
        if its client has gone, and then the repeat is done instead.

        Raises:
            KeyReusedError: The key belongs to another request.
        """
        while True:
            records = self._shelf(asked).records
            record = records.get(key)
            if record is None:
                record = records[key] = _Record(digest, time.monotonic())
                return record
            if record.digest != digest:
                raise KeyReusedError
            if record.answer is not None:
                return _replay(record.answer)
            self._wait(asked, record)

    def finish(self, asked: Call, key: str, record: _Record, response: Response | None) -> None:
        """Keep the answer, or forget the request if nothing was done.

        Descriptors cannot be kept: a repeated take is done again, and so gets them.
        """
        shelf = self._shelf(asked)
        if shelf.records.get(key) is not record:
            pass  # its shelf was the one of too many that went
        elif response is None or response.status_code in _NOT_KEPT or DESCRIPTORS in response.headers:
            del shelf.records[key]
        else:
            shelf.keep(record, response, self._most_bytes(asked, shelf))
        for pause in record.waiting:
            pause.ring()

    def _most_bytes(self, asked: Call, shelf: _Shelf) -> int:
        """Say how much a caller's answers may take: its quota, and what others leave of that of all."""
        own, total = asked.guard.bounds_of_buffers(asked.caller)
        bounds = [_MOST_BYTES if own is None else min(own, _MOST_BYTES)]
        if total is not None:
            bounds.append(
                total - sum(each.total_bytes for each in self._shelves.values() if each is not shelf)
            )
        return min(bounds)

    def _shrink(self) -> None:
        """Take from whoever has most, until all together is small enough."""
        while sum(shelf.total_bytes for shelf in self._shelves.values()) > _MOST_BYTES_OF_ALL:
            max(self._shelves.values(), key=lambda shelf: shelf.total_bytes).shrink()

    def _shelf(self, asked: Call) -> _Shelf:
        who = (asked.caller.via, asked.caller.owner)
        shelf = self._shelves.setdefault(who, _Shelf())
        self._shelves.move_to_end(who)
        if len(self._shelves) > _MOST_CALLERS:
            self._shelves.popitem(last=False)
        return shelf

    @staticmethod
    def _wait(asked: Call, record: _Record) -> None:
        patience = asked.patience(house().settings.max_timeout_s, house().service.limits)
        with asked.waiter.pause() as pause:
            record.waiting.add(pause)
            try:
                if not pause.wait(patience.deadline):
                    raise patience.over("idempotent request")
            finally:
                record.waiting.discard(pause)


class _Gate:
    """What stands in front of every request, and behind it."""

    def __init__(self) -> None:
        self._answers = Answers()

    def begin(self) -> Response | None:
        """Give the kept answer of a POST that names a key, or note that it is under way."""
        key = request.headers.get("Idempotency-Key")
        if key is None or request.method != "POST":
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
    """Put a store in front of every POST that names a key."""
    gate = _Gate()
    app.before_request(gate.begin)
    app.after_request(gate.finish)
    app.teardown_request(gate.abandon)


def _digest(of: Request) -> bytes:
    """Tell requests apart by all that the answer depends on."""
    parts = (of.full_path, of.mimetype, of.headers.get("Accept", ""), of.headers.get("If-Match", ""))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass") + b"\0" + of.get_data()).digest()


def _request_key(asked: Call, key: str, digest: bytes) -> str:
    """Make of it what is noted beside the sockets that the request makes, and outlives this process."""
    who = f"{asked.caller.via}\0{asked.caller.owner}\0{key}\0".encode()
    return hashlib.blake2b(who + digest, digest_size=16).hexdigest()


def _replay(answer: tuple[int, list[tuple[str, str]], bytes]) -> Response:
    status, headers, body = answer
    response = Response(body, status, headers)
    response.headers["Idempotency-Replayed"] = "true"
    return response
