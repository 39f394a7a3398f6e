"""Connections of the API whose other side is to keep up: requests and answers take a bounded time."""

from __future__ import annotations

import errno
import os
from io import BytesIO
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from gevent import socket

from socketd.errors import SlowRequestError
from socketd.runtime.line import PlainLine
from socketd.runtime.patience import Patient
from socketd.runtime.waiting import give_way

if TYPE_CHECKING:
    from socketd.core.seams import Closer

SLOWEST_BYTES_PER_S: Final = 64 * 1024
"""Whoever sends or reads much has a second more for so many bytes."""
_TURN_S: Final = 0.002
"""How long one client that is never short of bytes is read before others have their turn."""


class Paced:
    """Bounds what gunicorn does without end: reading a head or a body, and sending an answer.

    A request's head has ``request_timeout_s`` from its first byte, its body as long again, and more for more
    bytes. An answer has it in each piece. Between requests a connection may be idle; gunicorn's ``keepalive``
    bounds that. What is passed over (a 101) is read and written by its number, past all this.

    Attributes:
        request_timeout_s: Set by the worker.
    """

    request_timeout_s: float = 0.0
    _deadline: float | None = None  # None: idle
    _request: Any = None  # while its body may come
    _turn_ends: float = 0.0

    def expect_head(self) -> None:
        """Be idle until the next byte."""
        self._deadline = None
        self._request = None

    def expect_body(self, request: Any) -> None:
        """Time the body of ``request`` (gunicorn's) from now."""
        now = monotonic()
        self._deadline = now + self.request_timeout_s
        self._turn_ends = now + _TURN_S
        self._request = request

    def recv(self, size: int = 8192, flags: int = 0) -> bytes:
        """Receive; at most the time that is left.

        Raises:
            SlowRequestError: It is over.
        """
        self._bound(self._left_s())
        try:
            data: bytes = super().recv(size, flags)  # type: ignore[misc]
        except TimeoutError:
            raise self._too_slow() from None
        if self._deadline is None:
            self._deadline = monotonic() + self.request_timeout_s
        elif self._request is not None:
            self._deadline += len(data) / SLOWEST_BYTES_PER_S
        if self._request is not None and monotonic() >= self._turn_ends:
            give_way()  # recv does not yield as long as something is there
            self._turn_ends = monotonic() + _TURN_S
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it, in a bounded time.

        Raises:
            BrokenPipeError: The client does not read.
        """
        self._bound(self.request_timeout_s + len(data) / SLOWEST_BYTES_PER_S)
        try:
            super().sendall(data, flags)  # type: ignore[misc]
        except TimeoutError:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None

    def _read_ahead(self) -> bytes:
        """Give what gunicorn has read beyond the request that runs, which is none of HTTP then."""
        unreader = self._request.unreader
        # gunicorn 25 has no take_buffered.
        early: bytes = unreader.buf.getvalue()
        unreader.buf = BytesIO()
        return early

    def _left_s(self) -> float | None:
        if self._deadline is None:
            return None
        left_s = self._deadline - monotonic()
        if left_s <= 0:
            raise self._too_slow()
        return left_s

    def _too_slow(self) -> SlowRequestError:
        if self._request is not None:
            self._request.force_close()  # where the next one would begin is not known
        return SlowRequestError(self.request_timeout_s)

    def _bound(self, seconds: float | None) -> None:
        self.settimeout(seconds)  # type: ignore[attr-defined]


class PlainConnection(Paced, Patient, socket.socket):  # type: ignore[misc]
    """One without TLS.

    Attributes:
        closer: Set by the worker.
    """

    closer: Closer = os.close

    def leave_http(self) -> PlainLine:
        """Give the connection as the bytes that it is; the request that runs is its last."""
        return PlainLine(self, self._read_ahead())

    def close(self) -> None:
        """Close; descriptors that came and that nobody received are closed too, and may make it wait."""
        fd = self.fileno()
        if fd >= 0:
            self.detach()
            self.closer(fd)
