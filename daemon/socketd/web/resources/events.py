"""The journal of changes, followed over HTTP: server-sent events, or a JSON object a line."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson
from flask import Response, request

from socketd.errors import ClientGoneError, InvalidRequestError, ShuttingDownError
from socketd.service.following import Gap
from socketd.web import journal
from socketd.web.body import ApiBlueprint
from socketd.web.caller import call, house, service
from socketd.web.hanging_up import hang_up
from socketd.web.representation import NDJSON
from socketd.web.schemas.events import EventSchema, EventsQuerySchema

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from socketd.core.seams import Pause
    from socketd.service import Call
    from socketd.service.changes import Change
    from socketd.service.following import Follower

blueprint = ApiBlueprint("events", __name__, url_prefix="/v1/events", description="What changes")
SSE: Final = "text/event-stream"
_RETRY_MS: Final = 1000
_DIGITS: Final = 19
_EVENTS: Final = "Changes as they happen"
_LAST_EVENT_ID: Final[dict[str, Any]] = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Like `after`; an EventSource sends it when it reconnects.",
}
_STREAM_SCHEMA: Final = {"type": "string", "description": "The same as server-sent events."}


class _Form(Protocol):
    """How what is told is written."""

    def change(self, of: Change) -> bytes:
        """Write a change."""

    def gap(self, of: Gap) -> bytes:
        """Write that changes are missing."""

    def heartbeat(self, sequence: int) -> bytes:
        """Write that there was nothing else up to ``sequence``; what is read after it is newer."""


class _Lines:
    """A JSON object a line."""

    media_type: Final = NDJSON

    def change(self, of: Change) -> bytes:
        return _line(journal.event(of))

    def gap(self, of: Gap) -> bytes:
        return _line(journal.gap(of))

    def heartbeat(self, sequence: int) -> bytes:
        return _line(journal.heartbeat(sequence))


class _ServerSent:
    """Server-sent events (HTML Living Standard, 9.2); an ``id`` without data just moves ``Last-Event-ID``."""

    media_type: Final = SSE

    def change(self, of: Change) -> bytes:
        return self._message(of.sequence, of.event, journal.event(of))

    def gap(self, of: Gap) -> bytes:
        return self._message(of.upto, journal.GAP, journal.gap(of))

    def heartbeat(self, sequence: int) -> bytes:
        return b": heartbeat\nretry: %d\nid: %d\n\n" % (_RETRY_MS, sequence)

    def _message(self, sequence: int, name: str, data: dict[str, Any]) -> bytes:
        return b"id: %d\nevent: %b\ndata: %b\n\n" % (sequence, name.encode(), orjson.dumps(data))


@blueprint.get("", parameters=[_LAST_EVENT_ID])
@blueprint.arguments(EventsQuerySchema(), location="query")
@blueprint.response(200, EventSchema(), content_type=NDJSON, description=_EVENTS)
@blueprint.alt_response(200, schema=_STREAM_SCHEMA, content_type=SSE, description=_EVENTS)
def follow_events(query: dict[str, Any]) -> Response:
    """Follow what happens to the sockets that you may see, as it happens; some thousands are kept.

    A JSON object a line, or server-sent events with `Accept: text/event-stream`. A `gap` says that some are
    missing for good. Every 15 s at the latest something comes, a heartbeat if nothing else.
    """
    asked, after = call(), _after(query)
    form: _Lines | _ServerSent = _form()
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.method == "HEAD":
        return Response(headers=headers, content_type=form.media_type)
    connection = request.environ["gunicorn.socket"]
    follower = service().following.begin(asked, after, partial(hang_up, connection.fileno()))
    reading = _Reading(asked, follower, form, house().settings.heartbeat_s)
    stream = reading.stream(query.get("timeout", math.inf))
    try:
        first = next(stream)  # what refuses the wait refuses the request; and the head leaves with it
    except BaseException:
        stream.close()
        raise
    response = Response(_continued(first, stream), headers=headers, content_type=form.media_type)
    response.call_on_close(stream.close)
    return response


@dataclass(frozen=True, slots=True)
class _Reading:
    """One reader's stream; runs outside of the application's context, as the server asks for more."""

    asked: Call
    follower: Follower
    form: _Form
    heartbeat_s: float

    def stream(self, timeout_s: float) -> Generator[bytes, None, None]:
        """Greet, then tell what changes."""
        with self.follower, self.asked.waiter.pause() as pause:
            yield from self._sent(self._heartbeat())
            with suppress(ClientGoneError, ShuttingDownError):  # it sees the end, and comes again
                yield from self._changes(pause, time.monotonic() + timeout_s)

    def _changes(self, pause: Pause, deadline: float) -> Iterator[bytes]:
        follower = self.follower
        while True:
            text = b"".join(self._written(each) for each in follower.read())
            if text:
                yield from self._sent(text)
            if follower.has_more:
                self.asked.waiter.give_way()
                continue
            now = time.monotonic()
            if now < deadline and follower.wait(pause, min(deadline, now + self.heartbeat_s)):
                continue
            yield from self._sent(self._heartbeat())
            if now >= deadline:
                return

    def _sent(self, text: bytes) -> Iterator[bytes]:
        """Hand bytes to the server, and have it known that it tries to send them."""
        self.follower.is_sending = True
        yield text
        self.follower.is_sending = False

    def _heartbeat(self) -> bytes:
        return self.form.heartbeat(self.follower.position)

    def _written(self, each: Change | Gap) -> bytes:
        return self.form.gap(each) if isinstance(each, Gap) else self.form.change(each)


def _continued(first: bytes, stream: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from stream


def _line(members: dict[str, Any]) -> bytes:
    return orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE)


def _form() -> _Lines | _ServerSent:
    # */* is curl's, and a person at a terminal reads lines more easily.
    return _ServerSent() if request.accept_mimetypes.best_match((NDJSON, SSE), NDJSON) == SSE else _Lines()


def _after(query: dict[str, Any]) -> int | None:
    """Read where to begin.

    Raises:
        InvalidRequestError: ``Last-Event-ID`` is none of ours.
    """
    given = request.headers.get("Last-Event-ID")
    if not given:
        return query.get("after")
    if not (given.isascii() and given.isdecimal() and len(given) <= _DIGITS):
        raise InvalidRequestError("Last-Event-ID must be the id of an event", member="Last-Event-ID")
    return int(given)
