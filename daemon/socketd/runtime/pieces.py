"""A request body of gunicorn's, read as it comes; its own ``read`` waits until all that is asked for came."""

from __future__ import annotations

from typing import Any

from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.errors import NoMoreData


def read1(body: Any, size: int) -> bytes:
    """Read what has come, up to ``size`` bytes or waiting for one; nothing is the end.

    Args:
        body: gunicorn's; nothing else has been read of it.
        size: At least 8192.

    Raises:
        NoMoreData: It breaks off.
        ParseException: Its chunks are malformed.
    """
    reader = body.reader
    if isinstance(reader, ChunkedReader):
        return _next_chunk(reader, size)
    if isinstance(reader, LengthReader):
        return _next_bytes(reader, size) if reader.length else b""
    data: bytes = body.read(size)
    return data


def _next_bytes(reader: LengthReader, size: int) -> bytes:
    data = _received(reader.unreader, size)
    if not data:
        raise NoMoreData
    # What came behind the body is the next request's.
    most = min(size, reader.length)
    if len(data) > most:
        reader.unreader.unread(data[most:])
        data = data[:most]
    reader.length -= len(data)
    return data


def _next_chunk(reader: ChunkedReader, size: int) -> bytes:
    if reader.parser is None:
        return b""
    unreader = reader.req.unreader
    before = unreader.mxchunk
    unreader.mxchunk = unreader.max_body_chunk = size
    try:
        # A piece is empty where a chunk's head was the last that had come.
        for piece in reader.parser:
            if piece:
                return bytes(piece)
    finally:
        unreader.mxchunk = before
    reader.parser = None
    return b""


def _received(unreader: Any, size: int) -> bytes:
    """Give what the server has read already, or else what the connection has."""
    before = unreader.mxchunk
    unreader.mxchunk = size
    try:
        data: bytes = unreader.read()
    finally:
        unreader.mxchunk = before
    return data
