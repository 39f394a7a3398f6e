"""The answers that are kept for requests with a key, and the keys of those that had to make room."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from flask import Response

from socketd.errors import InvalidRequestError, SocketdError
from socketd.web.caller import house
from socketd.web.representation import DESCRIPTORS

if TYPE_CHECKING:
    from socketd.core.owner import Owner
    from socketd.core.seams import Pause
    from socketd.service import Call

_KEPT_S: Final = 600.0
_MOST_ANSWERS: Final = 1024
_MOST_BYTES: Final = 32 * 1024 * 1024
_MOST_BYTES_OF_ALL: Final = 64 * 1024 * 1024
_OVERHEAD_BYTES: Final = 1024  # of a record and its headers, about
_MOST_USED: Final = 65536
"""Keys without an answer, of all callers; 20 MB at the most with keys of 32 characters."""
_MOST_SHELVES: Final = 1024
_FORGOTTEN_AT_ONCE: Final = 32
"""So that no request pays for many; the bounds are met again within a few."""
# What says that nothing was done, and that asking again may turn out otherwise, is not kept. A 500 is kept:
# it does not tell how far the request got.
_NOT_KEPT: Final = frozenset({101, 401, 408, 429, 499, 503})
_OF_ONE_REQUEST: Final = frozenset({"X-Request-Id"})


class KeyReusedError(InvalidRequestError):
    """The key came before, with another request."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "this Idempotency-Key was used for another request",
            hint="make a new key for each thing to be done",
        )


class AnswerForgottenError(SocketdError):
    """The request with this key was done, and its answer had to make room; it is not done again."""

    code = "answer_forgotten"

    def __init__(self) -> None:
        super().__init__(
            "the request with this Idempotency-Key was done, and its answer is kept no more",
            symbol="EALREADY",
            hint="look at the socket to see what came of it; old answers make room for newer ones",
        )


@dataclass(slots=True, eq=False)
class Record:
    """One request with its key: under way while it has no answer.

    Attributes:
        kept_at: When the answer came, in ``time.monotonic()`` seconds.
        waiting: Repeats that came while it was under way.
    """

    digest: bytes
    answer: tuple[int, list[tuple[str, str]], bytes] | None = None
    kept_at: float = 0.0
    waiting: set[Pause] = field(default_factory=set)

    def keep(self, response: Response) -> None:
        """Note the answer."""
        headers = [(name, value) for name, value in response.headers if name not in _OF_ONE_REQUEST]
        self.answer = (response.status_code, headers, response.get_data())
        self.kept_at = time.monotonic()

    def replay(self) -> Response:
        """Give the answer again."""
        status, headers, body = self.answer or (0, [], b"")
        response = Response(body, status, headers)
        response.headers["Idempotency-Replayed"] = "true"
        return response

    @property
    def size(self) -> int:
        """What it takes, in bytes, about."""
        return 0 if self.answer is None else len(self.answer[2]) + _OVERHEAD_BYTES


@dataclass(slots=True, eq=False)
class Shelf:
    """The keys of one caller.

    Attributes:
        running: Under way; never forgotten, and bounded by the number of connections.
        kept: Answered, the oldest first.
        used: Done, with an answer that had to make room: the request's digest, and when it was answered.
        total_bytes: What the kept ones take.
    """

    running: dict[str, Record] = field(default_factory=dict)
    kept: OrderedDict[str, Record] = field(default_factory=OrderedDict)
    used: OrderedDict[str, tuple[bytes, float]] = field(default_factory=OrderedDict)
    total_bytes: int = 0

    def find(self, key: str, digest: bytes) -> Record | None:
        """Look a key up.

        Raises:
            KeyReusedError: It belongs to another request.
            AnswerForgottenError: Its request was done, and its answer is gone.
        """
        record = self.running.get(key) or self.kept.get(key)
        used = self.used.get(key)
        if record is None and used is not None and used[1] > time.monotonic() - _KEPT_S:
            raise AnswerForgottenError if used[0] == digest else KeyReusedError
        if record is not None and record.digest != digest:
            raise KeyReusedError
        return record

    def keep(self, key: str, record: Record, most_bytes: int) -> None:
        """Keep an answered request; forget the oldest until the rest is young, few and small enough."""
        self.used.pop(key, None)  # of another request, ten minutes ago
        self.kept[key] = record
        self.total_bytes += record.size
        oldest = time.monotonic() - _KEPT_S
        for candidate in list(islice(self.kept, _FORGOTTEN_AT_ONCE)):
            is_young = self.kept[candidate].kept_at > oldest
            if is_young and len(self.kept) <= _MOST_ANSWERS and self.total_bytes <= most_bytes:
                break
            self.forget(candidate, is_young=is_young)
        for candidate in list(islice(self.used, _FORGOTTEN_AT_ONCE)):
            if self.used[candidate][1] > oldest:
                break
            del self.used[candidate]

    def forget(self, key: str, *, is_young: bool) -> None:
        """Forget an answer; a young one's key is remembered as used, lest its repeat be done."""
        record = self.kept.pop(key)
        self.total_bytes -= record.size
        if is_young:
            self.used[key] = (record.digest, record.kept_at)


class Answers:
    """Kept answers, by caller and key; bounded for each in number, bytes and time, and for all in bytes."""

    def __init__(self) -> None:
        self._shelves: OrderedDict[tuple[str, Owner], Shelf] = OrderedDict()
        self._total_bytes = 0
        self._used = 0

    def begin(self, asked: Call, key: str, digest: bytes) -> Record | Response:
        """Start a request under its key, or give the answer that is kept.

        A repeat that comes while the first is still under way waits for it: the first ends at once
        if its client has gone, and then the repeat is done instead.

        Raises:
            KeyReusedError, AnswerForgottenError: As they say.
        """
        while True:
            shelf = self._shelf(asked)
            record = shelf.find(key, digest)
            if record is None:
                record = shelf.running[key] = Record(digest)
                return record
            if record.answer is not None:
                return record.replay()
            _await(asked, record)

    def finish(self, asked: Call, key: str, record: Record, response: Response | None) -> None:
        """Keep the answer, or forget the request if nothing was done.

        Descriptors cannot be kept: a repeated take is done again, and so gets them.
        """
        shelf = self._shelf(asked)
        del shelf.running[key]
        is_kept = response is not None and response.status_code not in _NOT_KEPT
        if response is not None and is_kept and DESCRIPTORS not in response.headers:
            before = shelf.total_bytes, len(shelf.used)
            record.keep(response)
            shelf.keep(key, record, self._most_bytes(asked, shelf))
            self._total_bytes += shelf.total_bytes - before[0]
            self._used += len(shelf.used) - before[1]
            self._shrink()
        for pause in record.waiting:
            pause.ring()

    def _most_bytes(self, asked: Call, shelf: Shelf) -> int:
        """Say how much a caller's answers may take: its quota, and what others leave of that of all."""
        own, total = asked.guard.bounds_of_buffers(asked.caller)
        bounds = [_MOST_BYTES if own is None else min(own, _MOST_BYTES)]
        if total is not None:
            bounds.append(total - self._total_bytes + shelf.total_bytes)
        return min(bounds)

    def _shrink(self) -> None:
        """Take from whoever has most, until all together is small enough."""
        while self._total_bytes > _MOST_BYTES_OF_ALL:
            shelf = max(self._shelves.values(), key=lambda each: each.total_bytes)
            before = shelf.total_bytes
            shelf.forget(next(iter(shelf.kept)), is_young=True)
            self._total_bytes -= before - shelf.total_bytes
            self._used += 1
        while self._used > _MOST_USED:
            max(self._shelves.values(), key=lambda each: len(each.used)).used.popitem(last=False)
            self._used -= 1

    def _shelf(self, asked: Call) -> Shelf:
        who = (asked.caller.via, asked.caller.owner)
        shelf = self._shelves.get(who)
        if shelf is None:
            self._make_room()
            shelf = self._shelves[who] = Shelf()
        self._shelves.move_to_end(who)
        return shelf

    def _make_room(self) -> None:
        """Where callers are too many, forget the one that was away for longest and has nothing under way."""
        if len(self._shelves) < _MOST_SHELVES:
            return
        for who, shelf in self._shelves.items():
            if not shelf.running:
                del self._shelves[who]
                self._total_bytes -= shelf.total_bytes
                self._used -= len(shelf.used)
                return


def _await(asked: Call, record: Record) -> None:
    """Wait for the first request with the key.

    Raises:
        WaitTimeoutError: It took longer than any call may.
    """
    patience = asked.patience(house().settings.max_timeout_s, house().service.limits)
    with asked.waiter.pause() as pause:
        record.waiting.add(pause)
        try:
            if not pause.wait(patience.deadline):
                raise patience.over("idempotent request")
        finally:
            record.waiting.discard(pause)
