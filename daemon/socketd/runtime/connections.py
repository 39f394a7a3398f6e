"""The API's connections in one worker: which shake hands, which are idle, which have a request running."""

from __future__ import annotations

import _socket
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

import gevent

from socketd.kernel import facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Connections:
    """What the worker has to know of each, to end those that may be ended."""

    def __init__(self) -> None:
        self._meeting: set[Any] = set()  # greenlets whose client has not shaken hands yet
        self._is_meeting_over = False
        self._idle: dict[Any, None] = {}  # the longest idle one first
        self._running: dict[Any, Any] = {}  # connection: its request
        self._is_ending = False

    @contextmanager
    def meeting(self) -> Iterator[None]:
        """Shake hands with a client, in the greenlet that runs now."""
        ours = gevent.getcurrent()
        self._meeting.add(ours)
        if self._is_meeting_over:
            ours.kill(block=False)  # as it waits for the client
        try:
            yield
        finally:
            self._meeting.discard(ours)

    # Not as context managers: a request that waits would keep two generators, 0.85 KiB.

    def rest(self, client: Any) -> None:
        """Have a connection be idle: a new one, or one after its request."""
        self._idle[client] = None
        if self._is_ending:
            _end_reading(client.fileno())  # what it asked already is answered

    def forget(self, client: Any) -> None:
        """Forget a connection."""
        self._idle.pop(client, None)

    def begin(self, client: Any, request: Any) -> None:
        """Note a connection's request; it does not count as idle meanwhile."""
        self._idle.pop(client, None)
        self._running[client] = request

    def end(self, client: Any) -> None:
        """Note that the request is over."""
        del self._running[client]

    def shed(self, count: int) -> int:
        """End the connections that have been idle for longest; those with half a head count as such."""
        # Not one whose request has come: it would be read, and its wait would find the client gone.
        silent = (client for client in self._idle if not facts.queues(client.fileno()).unread_bytes)
        ended = list(islice(silent, count))
        for client in ended:
            del self._idle[client]
            _end_reading(client.fileno())
        return len(ended)

    def end_distrusted(self, is_trusted: Callable[[Any], bool]) -> None:
        """End those whose client is not to be trusted any more, after the request that runs."""
        for client, request in self._running.items():
            if not is_trusted(client):
                request.force_close()
        for client in self._idle:
            if not is_trusted(client):
                _end_reading(client.fileno())

    def end_meetings(self) -> None:
        """Wait for no handshake; also of those that have yet to begin."""
        self._is_meeting_over = True
        gevent.killall(list(self._meeting), block=False)

    def end_idle(self) -> None:
        """End what is idle now, and the others after their answers; also those that have yet to begin."""
        self._is_ending = True
        for request in self._running.values():
            request.force_close()  # its answer says Connection: close
        for client in self._idle:
            _end_reading(client.fileno())


def _end_reading(fd: int) -> None:
    """Let whoever reads ``fd`` see its end; what has come is still read, and answers still go out."""
    # Not gevent's own shutdown: that one throws EBADF into the greenlet that reads.
    bare = _socket.socket(fileno=fd)
    try:
        with suppress(OSError):  # ENOTCONN: the client has just left
            bare.shutdown(_socket.SHUT_RD)
    finally:
        bare.detach()
