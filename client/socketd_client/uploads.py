"""Long sends: each byte once, however often the connection breaks, and none of them copied.

A segment goes as one ``PUT`` of the socket's stream, under a key of its own and from a position in it. The
daemon passes over what it has sent of it, so a segment may be brought again, whole or from where it stopped.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd_client.calls import BodyOutOfTimeError, Call, Pieces
from socketd_client.errors import ApiError, ConnectionLostError

if TYPE_CHECKING:
    from socketd_client.exchange import Exchange

FEATURE: Final = "streams"
"""In the service document of a daemon that knows it."""
LEAST_BYTES: Final = 1024 * 1024
"""Less goes by ``send``, in one request as well."""
_SEGMENT_BYTES: Final = 16 * 1024 * 1024
_MOST_VAIN: Final = 16
_PAUSE_S: Final = 0.02
_TIMED_OUT: Final = "timed_out"
_INTERRUPTED: Final = "upload_interrupted"
_CUT: Final = "malformed_body"
_UNKNOWN: Final = "upload_offset"


@dataclass(frozen=True, slots=True)
class Stream:
    """Where bytes go.

    Attributes:
        path: Of the socket's stream.
        cookie: Of the socket.
        deadline: For all of it, in ``time.monotonic()`` seconds; ``None``: no hurry.
    """

    exchange: Exchange
    path: str
    cookie: int
    deadline: float | None

    def send(self, data: memoryview) -> None:
        """Send all of it.

        Raises:
            TimeoutError: The deadline passed; part of it was sent.
            ConnectionLostError: The daemon went away and cannot say how much was sent.
            ApiError: The socket refused; part of it may have been sent.
        """
        for start in range(0, len(data), _SEGMENT_BYTES):
            _Segment(self, data[start : start + _SEGMENT_BYTES]).send()

    def idle_s(self) -> float:
        """Say how long nothing may move before the daemon tells how far it is: less than HTTP waits.

        Raises:
            TimeoutError: The deadline has passed.
        """
        most_s = self.exchange.timeout_s / 2
        if self.deadline is None:
            return most_s
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        return min(left_s, most_s)


class _Segment:
    """One upload, or another one for its rest where the daemon was restarted on purpose."""

    def __init__(self, stream: Stream, data: memoryview) -> None:
        self._stream = stream
        self._data = data
        self._sent = 0  # of the segment, as far as the daemon has said
        self._begin()

    def send(self) -> None:
        """Send what is left, until nothing is."""
        vain = 0
        while vain < _MOST_VAIN:
            before = self._sent
            if self._bring():
                return
            vain = 0 if self._sent > before else vain + 1
        raise ConnectionLostError("the upload breaks off again and again")

    def _begin(self) -> None:
        self._key, self._start = os.urandom(16).hex(), self._sent

    def _bring(self) -> bool:
        """Bring what is left, in one request or its repeats; tell whether that was all."""
        idle_s = self._stream.idle_s()
        call = Call(
            "PUT",
            self._stream.path,
            {"timeout": idle_s},
            Pieces(self._data[self._sent :], self._stream.deadline),
            if_match=self._stream.cookie,
            wait_s=idle_s,
            headers=self._headers(self._sent - self._start),
        )
        try:
            self._stream.exchange.send(call)
        except BodyOutOfTimeError:
            raise TimeoutError("timed out") from None
        except ApiError as error:
            self._go_on_after(error)
            return False
        except ConnectionLostError as error:
            self._sent = self._start + self._position(error)
            return False
        return True

    def _headers(self, offset: int) -> dict[str, str]:
        return {"Idempotency-Key": self._key, "Upload-Offset": str(offset)}

    def _go_on_after(self, error: ApiError) -> None:
        """Note how far it is, or raise."""
        if error.code == _UNKNOWN:
            raise ConnectionLostError("another daemon serves now, and does not know what was sent") from error
        if error.code not in (_TIMED_OUT, _INTERRUPTED, _CUT):
            raise error
        self._sent += error.problem.sent or 0
        if error.code == _INTERRUPTED:  # that daemon sends no more, and its successor knows nothing of it
            self._begin()
        if error.code != _TIMED_OUT:
            time.sleep(_PAUSE_S)

    def _position(self, lost: ConnectionLostError) -> int:
        """Ask how much of the upload was sent.

        Raises:
            ConnectionLostError: ``lost``: whoever serves now does not know.
        """
        path, headers = self._stream.path, {"Idempotency-Key": self._key}
        answer = self._stream.exchange.send(Call("HEAD", path, if_match=self._stream.cookie, headers=headers))
        position = answer.headers.get("Upload-Offset")
        if position is None or not position.isdecimal():
            raise lost
        return int(position)
