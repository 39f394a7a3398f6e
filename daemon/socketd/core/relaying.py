"""Bytes or messages copied between two sides in the loop's own thread, where the kernel cannot move them."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from socketd.core.legs import HeldLeg
from socketd.core.pumping import Ending
from socketd.errors import ClientGoneError, KernelRefusedError, SocketdError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd.core.entry import Entry
    from socketd.core.legs import Leg
    from socketd.core.seams import Closer, Pause, Waiter

HEARTBEAT_S: Final = 15.0
"""How long nothing may be said before ``Leg.idle`` is asked whether it has something to say."""
_TURN_S: Final = 0.002
"""How long one relay goes on before other requests have their turn."""


class Line(Protocol):
    """A connection of the API that has left HTTP: a ``Leg`` of bytes, and what the pump needs of it.

    Whoever closes it before ``end_well``, the kernel at our death included, resets it where that can be: the
    client is not to take a cut for an end of file.

    Attributes:
        is_bare: What the descriptor carries are the bytes themselves, so that the kernel may move them.
    """

    is_bare: bool
    is_ended: bool
    has_more: bool

    @property
    def in_hand(self) -> int:
        """As of ``Leg``."""

    def fileno(self) -> int:
        """Give the number of a duplicate that is this line's own; nobody else watches it."""

    def take_early(self) -> bytes:
        """Give what the client sent beyond its request and HTTP's reader has read; once."""

    def awaits(self, *, reading: bool, writing: bool) -> int:
        """As ``Leg.awaits``."""

    def receive(self) -> bytes | None:
        """As ``Leg.receive``."""

    def send(self, data: memoryview) -> memoryview | None:
        """As ``Leg.send``."""

    def end(self) -> None:
        """As ``Leg.end``."""

    def has_left(self) -> bool:
        """As ``Leg.has_left``."""

    def tend(self) -> bool:
        """As ``Leg.tend``."""

    def idle(self) -> None:
        """As ``Leg.idle``."""

    def end_well(self) -> None:
        """Let the connection end as it does after an answer."""

    def close(self) -> None:
        """Close the duplicate."""


class _Direction:
    """One way: at most one chunk is under way.

    Attributes:
        is_last: What its source has now is the last of it.
    """

    __slots__ = ("error", "is_done", "is_last", "moved", "pending", "source", "target")

    def __init__(self, source: Leg, target: Leg) -> None:
        self.source = source
        self.target = target
        self.pending: memoryview | None = None
        self.moved = 0
        self.is_done = self.is_last = False
        self.error: SocketdError | None = None

    @property
    def reads(self) -> bool:
        """Whether it waits for its source."""
        return not self.is_done and self.pending is None

    @property
    def writes(self) -> bool:
        """Whether it waits for its target."""
        return not self.is_done and self.pending is not None

    @property
    def has_rest(self) -> bool:
        """Whether its source can give something that it has taken in."""
        return bool(self.source.in_hand or self.source.has_more)

    def take(self) -> bool:
        """Take a chunk if there is one, or pass the end on; whether something happened."""
        data = self.source.receive()
        if data is not None:
            self.pending = memoryview(data)
            return True
        if self.source.is_ended:
            self.target.end()
        elif self.source.has_more or not self.is_last:
            return self.source.has_more
        self.is_done = True
        return True

    def give(self) -> bool:
        """Deliver of the chunk what goes; whether something happened.

        One that reads no more ends this direction alone: what it has said before goes on its way.
        """
        assert self.pending is not None  # noqa: S101 (writes)
        before = len(self.pending)
        try:
            self.pending = self.target.send(self.pending)
        except (KernelRefusedError, ClientGoneError) as error:
            self.fail(error)
            return True
        self.moved += before - (0 if self.pending is None else len(self.pending))
        return self.pending is None or len(self.pending) < before

    def fail(self, error: SocketdError) -> None:
        """End it: its target takes no more."""
        self.error = error
        self.is_done = True

    @property
    def undelivered(self) -> int:
        """Bytes that were taken and not given."""
        return 0 if self.pending is None else len(self.pending)


class Relay:
    """A client's side and a held socket, joined (``core.pumping.Flow``); runs in the greenlet of its request.

    Args:
        client: The client's side.
        entry: The held socket.
        waiter: The request's own, of a client that may end its sending side and stay.
        closer: Closes descriptors that come to the held socket.
    """

    def __init__(self, client: Leg, entry: Entry, waiter: Waiter, closer: Closer) -> None:
        self._client = client
        self._entry = entry
        self._held: Leg = HeldLeg(entry, closer)
        self._waiter = waiter
        self._inward = _Direction(client, self._held)
        self._outward = _Direction(self._held, client)
        self._pause: Pause | None = None
        self._armed: dict[int, int] = {}
        self._is_finishing = False
        self._ending: Ending | None = None

    @property
    def moved(self) -> tuple[int, int]:
        """Bytes delivered so far: to the held socket, to the client."""
        return self._inward.moved, self._outward.moved

    @property
    def ending(self) -> Ending | None:
        """How it ended; ``None`` while it goes on."""
        return self._ending

    def finish(self) -> None:
        """Take nothing more, and end when what was taken is delivered."""
        self._is_finishing = True
        if self._pause is not None:
            self._pause.ring()

    def stop(self) -> None:
        """End it now; harmless when it has ended."""
        self._is_finishing = True
        self._end(None)
        if self._pause is not None:
            self._pause.ring()

    def run(self, pause: Pause) -> Ending:
        """Copy until both ends have come, one side breaks, or it is stopped; the ending tells why."""
        with self._watched(pause):
            deadline = time.monotonic() + _TURN_S
            try:
                while self._ending is None:
                    if self._turn():
                        if time.monotonic() >= deadline:
                            self._waiter.give_way()
                            deadline = time.monotonic() + _TURN_S
                    elif self._inward.is_done and self._outward.is_done:
                        self._end(self._inward.error or self._outward.error)
                    else:
                        self._wait(pause)
            except SocketdError as error:
                self._end(error)
            finally:
                self._end(None)
        assert self._ending is not None  # noqa: S101 (just set)
        return self._ending

    def _turn(self) -> bool:
        """Do what can be done without waiting; whether that was anything."""
        has_moved = self._client.tend()
        for direction in (self._inward, self._outward):
            if self._is_finishing and direction.reads and not direction.has_rest:
                direction.is_done = True
            if direction.reads:
                has_moved |= self._take(direction)
            if direction.writes:
                has_moved |= direction.give()
        # Who takes nothing more is heard out, and then it is over: the client's close would not be heard.
        self._outward.is_last = self._inward.error is not None
        return has_moved

    def _take(self, direction: _Direction) -> bool:
        if direction is self._outward and self._client.has_left():
            direction.fail(ClientGoneError())  # nothing is taken for who has gone
            return True
        return direction.take()

    def _wait(self, pause: Pause) -> None:
        inward, outward = self._inward, self._outward
        for leg, reading, writing in (
            (self._client, inward.reads, outward.writes),
            (self._held, outward.reads, inward.writes),
        ):
            events = leg.awaits(reading=reading, writing=writing)
            if events == self._armed.get(leg.fileno(), 0):
                continue
            pause.disarm(leg.fileno())
            if events:
                pause.arm(leg.fileno(), events)
            self._armed[leg.fileno()] = events
        if not pause.wait(time.monotonic() + HEARTBEAT_S):
            self._client.idle()

    @contextmanager
    def _watched(self, pause: Pause) -> Iterator[None]:
        """Have the wait end when the socket is closed."""
        self._pause = pause
        self._entry.watchers.add(pause)
        try:
            yield
        finally:
            self._entry.watchers.discard(pause)
            if not self._entry.closed:
                pause.disarm(self._entry.fd)
            pause.disarm(self._client.fileno())
            self._pause = None

    def _end(self, error: SocketdError | None) -> None:
        if self._ending is None:
            lost = (self._inward.undelivered + self._client.in_hand, self._outward.undelivered)
            is_whole = error is None and not self._is_finishing and lost == (0, 0) and self._has_both_ends
            self._ending = Ending(error, is_whole, lost, self._is_finishing)

    @property
    def _has_both_ends(self) -> bool:
        return self._inward.is_done and self._outward.is_done
