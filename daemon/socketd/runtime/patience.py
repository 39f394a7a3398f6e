"""Connections of the API that rest as long as their request does, where a stream goes through them."""

from __future__ import annotations

import errno
import math
import socket
import ssl
from contextlib import contextmanager
from select import POLLIN, POLLOUT
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from socketd.errors import ClientGoneError, ShuttingDownError
from socketd.runtime.waiting import give_way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TURN_BYTES: Final = 1 << 20
"""Sent by one stream whose client never makes it wait before others have their turn."""
_PROBED: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)
"""Of TCP: a host that is gone without a word is noticed after two minutes (tcp(7))."""


def probe(connection: Any) -> None:
    """Have the kernel ask a TCP client that says nothing whether it is still there."""
    if connection.family != socket.AF_UNIX:
        for level, option, value in _PROBED:
            connection.setsockopt(level, option, value)


class Patient:
    """Waits for its client by the request's own pause, for as long as a view says (below ``pace.Paced``).

    A wait of that kind is counted, and ends with the client, the held socket or the daemon. So it needs no
    time of its own: an upload at a terminal may rest, and so may a reader that has stopped its output.
    """

    _by: Callable[[int], None] | None = None
    _sent_bytes: int = 0

    @contextmanager
    def waiting_by(self, wait: Callable[[int], None]) -> Iterator[None]:
        """Call ``wait`` with POLLIN or POLLOUT where reading or writing would block, while the block runs."""
        probe(self)
        self._by = wait
        self._deadline = math.inf
        try:
            yield
        finally:
            self._by = None
            # What is left of the body is read to its end; the time for that begins now.
            self._deadline = monotonic() + self.request_timeout_s  # type: ignore[attr-defined]

    def recv(self, size: int = 8192, flags: int = 0) -> bytes:
        """Receive."""
        if self._by is None:
            return super().recv(size, flags)  # type: ignore[misc,no-any-return]
        self.settimeout(0)  # type: ignore[attr-defined]
        while True:
            try:
                return super().recv(size, flags)  # type: ignore[misc,no-any-return]
            except (BlockingIOError, ssl.SSLWantReadError):
                self._by(POLLIN)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it.

        Raises:
            BrokenPipeError: The client has gone, or the daemon goes.
        """
        if self._by is None:
            super().sendall(data, flags)  # type: ignore[misc]
            return
        self.settimeout(0)  # type: ignore[attr-defined]
        rest = memoryview(data)
        while rest:
            count = self._send_now(rest, flags)
            rest = rest[count:]
            if not count:
                self._await_room(self._by)
        self._sent_bytes += len(data)
        if self._sent_bytes >= _TURN_BYTES:
            self._sent_bytes = 0
            give_way()

    def _send_now(self, data: memoryview, flags: int) -> int:
        try:
            return int(super().send(data, flags))  # type: ignore[misc]
        except BlockingIOError:  # gevent's TLS gives 0
            return 0

    @staticmethod
    def _await_room(wait: Callable[[int], None]) -> None:
        try:
            wait(POLLOUT)
        except (ClientGoneError, ShuttingDownError) as error:
            raise BrokenPipeError(errno.EPIPE, str(error)) from error
