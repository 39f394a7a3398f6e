"""Streams: what comes until its end as one answer, and what is brought as one request."""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Any, Final

from flask import Response, request

from socketd.core.streaming import PIECE_BYTES
from socketd.errors import InvalidRequestError, SocketdError, UploadOffsetError
from socketd.service.uploads import Part
from socketd.web import errors
from socketd.web.body import ApiBlueprint, CutBodyError, MalformedBodyError
from socketd.web.caller import call, service
from socketd.web.idempotency import key_of
from socketd.web.representation import OCTETS, json
from socketd.web.schemas.streams import (
    POSITION,
    UPLOAD_KEY,
    UPLOAD_OFFSET,
    ReadStreamQuerySchema,
    StreamedSchema,
    WriteStreamQuerySchema,
)
from socketd.web.streaming import waited_for

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from socketd.service import Call
    from socketd.service.streams import Writing

blueprint = ApiBlueprint("streams", __name__, url_prefix="/v1/sockets", description="Bytes without an end")
log = logging.getLogger(__name__)

_DIGITS: Final = 19
_OCTETS: Final = {"type": "string", "format": "binary"}
_DOCUMENT: Final = {"requestBody": {"content": {OCTETS: {"schema": _OCTETS}}}}


@blueprint.get("/<ref>/stream")
@blueprint.arguments(ReadStreamQuerySchema(), location="query")
@blueprint.response(200, _OCTETS, content_type=OCTETS, description="What comes, as it comes")
def read_stream(query: dict[str, Any], ref: str) -> Response:
    """Receive until the peer ends its direction, as one answer: `curl -N`.

    The answer comes to its end with the peer's. Where it ends otherwise (the connection broke, `timeout`
    was over, the daemon stops) it is cut off, which every client of HTTP can tell: curl exits with 18.
    Only of stream sockets. `HEAD` with an `Idempotency-Key` tells the `Upload-Offset` of that upload.
    """
    asked = call()
    if request.method == "HEAD":
        return _position(asked, ref)
    stream = _pieces(asked, ref, query.get("timeout"), request.environ["gunicorn.socket"])
    try:
        first = next(stream, b"")  # what is refused now refuses the request; and the head leaves with it
    except BaseException:
        stream.close()
        raise
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    response = Response(_cut_off(first, stream, ref), headers=headers, content_type=OCTETS)
    response.call_on_close(stream.close)
    return response


@blueprint.put("/<ref>/stream", parameters=[UPLOAD_KEY, UPLOAD_OFFSET])
@blueprint.arguments(WriteStreamQuerySchema(), location="query")
@blueprint.response(200, StreamedSchema(), headers=POSITION)
@blueprint.doc(**_DOCUMENT)
def write_stream(query: dict[str, Any], ref: str) -> Response:
    """Send a body of any length as it comes: `curl -T -`.

    No more is read than there is room for. With an `Idempotency-Key` each byte is sent once, however often
    it is brought: those below the upload's position are passed over. After a broken connection ask for the
    position (`HEAD`), and go on there. A refusal tells in `sent` how far it came. Only of stream sockets.
    """
    asked, part = call(), _part()
    try:
        with service().streams.writing(asked, ref, part) as writing:
            answer = _written(asked, ref, writing, query)
            position = writing.position
    except UploadOffsetError as error:
        answer, position = errors.answer(errors.problem(error)), error.position
    if part.key is not None:
        answer.headers["Upload-Offset"] = str(position)
    return answer


def _written(asked: Call, ref: str, writing: Writing, query: dict[str, Any]) -> Response:
    """Send the body, and say how far it came."""
    environ = request.environ
    body = environ["wsgi.input"]
    try:
        with waited_for(environ["gunicorn.socket"], writing.pause, writing.idle):
            writing.run(lambda: body.read1(PIECE_BYTES), query.get("timeout"))
        if "shutdown" in query:
            service().streams.shut(asked, ref, writing)
    except CutBodyError as error:
        # Its own code says that nothing was done.
        cut = {**errors.problem(error), "code": MalformedBodyError.code, "sent": writing.sent}
        return errors.answer(cut)
    except SocketdError as error:
        return errors.answer({**errors.problem(error), "sent": writing.sent})
    return json({"sent": writing.sent, "complete": True})


def _pieces(asked: Call, ref: str, timeout_s: float | None, connection: Any) -> Generator[bytes, None, None]:
    """Receive; runs outside of the application's context, as the server asks for more."""
    with service().streams.reading(asked, ref) as reading, waited_for(connection, reading.pause):
        yield from reading.pieces(timeout_s)


def _cut_off(first: bytes, rest: Iterator[bytes], ref: str) -> Iterator[bytes]:
    """Give all of it; where it does not end well, nor may the answer."""
    yield first
    try:
        yield from rest
    except SocketdError as error:
        log.info("socket %s: its stream ends before its end: %s", ref, error)
        # The server closes the connection on this one without a word, and without the last chunk.
        raise BrokenPipeError(errno.EPIPE, str(error)) from error


def _position(asked: Call, ref: str) -> Response:
    """Say how far an upload is, if it is known."""
    answer = Response(content_type=OCTETS)
    key = key_of(request)
    position = None if key is None else service().streams.position(asked, ref, key)
    if position is not None:
        answer.headers["Upload-Offset"] = str(position)
    return answer


def _part() -> Part:
    """Read which bytes of which upload the body is.

    Raises:
        InvalidRequestError: The headers cannot be meant.
    """
    key, start = key_of(request), request.headers.get("Upload-Offset")
    if start is None:
        return Part(key, 0, request.content_length)
    if not (start.isascii() and start.isdecimal() and len(start) <= _DIGITS):
        raise InvalidRequestError("Upload-Offset must be a whole number", member="Upload-Offset")
    if key is None:
        raise InvalidRequestError(
            "Upload-Offset needs an Idempotency-Key that names the upload", member="Upload-Offset"
        )
    return Part(key, int(start), request.content_length)
