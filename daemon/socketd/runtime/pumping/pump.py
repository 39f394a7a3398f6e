"""The pump as the daemon sees it, in the thread of its loop: flows begin and end here."""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from gevent import monkey

from socketd.errors import KernelRefusedError, ShuttingDownError
from socketd.runtime.pumping.engine import Engine
from socketd.runtime.pumping.joint import Joint
from socketd.runtime.pumping.side import Side
from socketd.runtime.pumping.workshop import Workshop

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.core.pumping import Ending
    from socketd.core.seams import Closer

    Hop = Callable[[Callable[[], None]], None]

new_lock = monkey.get_original("_thread", "RLock")


class SplicedFlow:
    """Two joined sockets (``core.pumping.Flow``)."""

    __slots__ = ("_joint", "_lock", "_on_end", "_pump", "ending")

    def __init__(self, pump: SplicePump, joint: Joint, on_end: Callable[[], None]) -> None:
        self._pump = pump
        self._lock = pump.lock
        self._joint = joint
        self._on_end = on_end
        self.ending: Ending | None = None

    @property
    def moved(self) -> tuple[int, int]:
        """Bytes delivered so far: to the second, to the first."""
        to_second, to_first = self._joint.directions
        return to_second.moved, to_first.moved

    def finish(self) -> None:
        """Take nothing more, and end when what was taken is delivered."""
        with self._lock:
            if self.ending is None:
                self._pump.engine.finish(self._joint)

    def stop(self) -> None:
        """End it now."""
        self.cut(is_told=False)

    def cut(self, *, is_told: bool) -> None:
        """End it now; ``is_told``: who is connected there sees it, if bytes are lost."""
        with self._lock:
            if self.ending is None:
                self._pump.engine.end(self._joint, is_told=is_told)
                self.conclude()

    def conclude(self) -> None:
        """Give the sides back, and say that it has ended; in the loop's thread, once."""
        with self._lock:
            if self.ending is not None:
                return
            self.ending = self._joint.ending
            for side in self._joint.sides:
                self._pump.closer(side.sock.detach())
            self._pump.leave(self)
            self._on_end()


class SplicePump:
    """Joins sockets (``core.pumping.Pump``). While there is no flow there is neither thread nor descriptor.

    Attributes:
        closer: Closes duplicates.
        lock: Held by whoever begins or ends a flow. In the daemon that is always the thread of the loop.
    """

    def __init__(self, hop: Hop, closer: Closer) -> None:
        """Begin without a thread; ``hop`` has something done in the thread of the loop."""
        self.closer = closer
        self._hop = hop
        self.lock: Any = new_lock()
        self._workshop = Workshop(closer)
        self._engine: Engine | None = None
        self._flows: set[SplicedFlow] = set()
        self._is_closed = False

    @property
    def count(self) -> int:
        """How many flows there are."""
        return len(self._flows)

    @property
    def engine(self) -> Engine:
        """The thread, which begins now if it does not run.

        Raises:
            OSError, RuntimeError: No descriptor, or no thread, is to be had.
        """
        if self._engine is None:
            self._engine = Engine()
        return self._engine

    def join(
        self,
        first: int,
        second: int,
        on_end: Callable[[], None],
        early: bytes = b"",
        *,
        is_guest: bool = False,
    ) -> SplicedFlow:
        """Join two connected stream sockets."""
        if self._is_closed:
            raise ShuttingDownError
        sides = [Side.of(first, is_guest=is_guest)]
        try:
            sides.append(Side.of(second))
            joint = Joint(sides[0], sides[1], early, self._workshop)
            flow = SplicedFlow(self, joint, on_end)
            joint.on_over = partial(self._hop, flow.conclude)
            with self.lock:
                self._begin(flow, joint)
        except BaseException:
            for side in sides:
                side.sock.close()
            raise
        return flow

    def _begin(self, flow: SplicedFlow, joint: Joint) -> None:
        self._flows.add(flow)
        try:
            self._workshop.pipes.grow(2)
            self.engine.add(joint)
        except (OSError, RuntimeError) as error:
            self.leave(flow)
            raise KernelRefusedError(_as_errno(error), "epoll_create") from error

    def leave(self, flow: SplicedFlow) -> None:
        """Count a flow no more; with the last one the thread ends, and its descriptors are given back."""
        self._flows.discard(flow)
        if self._flows:
            return
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        self._workshop.pipes.close()

    def check(self) -> None:
        """See that no flow keeps the others; to be called every second or so."""
        if self._engine is not None:
            self._engine.free()

    def finish(self) -> None:
        """Refuse new flows, and have each end as soon as what it has taken is delivered."""
        self._is_closed = True
        for flow in list(self._flows):
            flow.finish()

    def close(self) -> None:
        """End what is left, and the thread. Where bytes are lost by that, both sockets are shut down."""
        self._is_closed = True
        with self.lock:  # the end of the last flow may be under way in another thread
            for flow in list(self._flows):
                flow.cut(is_told=True)


def _as_errno(error: OSError | RuntimeError) -> OSError:
    """Say it as the kernel did: Python's "can't start new thread" is EAGAIN of clone(2)."""
    return error if isinstance(error, OSError) else OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
