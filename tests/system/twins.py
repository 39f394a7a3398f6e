"""Two sockets led through one life, one held by the daemon and one of Python's own: any difference fails."""

from __future__ import annotations

import errno
import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd_client import Client, Socket

SETTLED_S = 3.0
AGAIN = ("error", errno.EAGAIN)
INET = (socket.AF_INET, socket.AF_INET6)


def outcome(call: Callable[[], Any]) -> tuple[str, Any]:
    """Say what a call gave: a value, or an errno."""
    try:
        return "ok", call()
    except OSError as error:
        return "error", error.errno


def agree(ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[Any, Any] | None:
    """Make both calls and compare; return both values, or ``None`` where both were refused alike.

    The loopback hands most packets over within the system call that sends them, but leaves some to
    ksoftirqd when that is busy: the side that has nothing yet is asked again.
    """
    deadline = time.monotonic() + SETTLED_S
    left, right = outcome(ours), outcome(theirs)
    while (left == AGAIN) != (right == AGAIN) and time.monotonic() < deadline:
        left = outcome(ours) if left == AGAIN else left
        right = outcome(theirs) if right == AGAIN else right
    assert left[0] == right[0], (left, right)
    if left[0] == "ok":
        return left[1], right[1]
    assert left == right
    return None


@dataclass(eq=False)
class Twins:
    """The pair.

    Attributes:
        local: Where each is bound, as both last said.
    """

    ours: Socket
    theirs: socket.socket
    client: Client
    local: tuple[Any, Any] = field(default=(None, None))

    @classmethod
    def create(cls, client: Client, family: int, kind: int) -> Twins:
        """Make both."""
        theirs = socket.socket(family, kind)
        theirs.settimeout(0)
        ours = client.sockets.create(family=family, type=kind)
        ours.settimeout(0)
        return cls(ours, theirs, client)

    @property
    def family(self) -> int:
        """Of both."""
        return int(self.theirs.family)

    @property
    def kind(self) -> int:
        """Type of both."""
        return int(self.theirs.type)

    def agree(self, method: str, *arguments: Any) -> tuple[Any, Any] | None:
        """Call one method of both with the same arguments."""
        return agree(
            lambda: getattr(self.ours, method)(*arguments), lambda: getattr(self.theirs, method)(*arguments)
        )

    def agree_equal(self, method: str, *arguments: Any) -> Any:
        """Call one method of both, whose values must be equal."""
        both = self.agree(method, *arguments)
        if both is not None:
            assert both[0] == both[1]
            return both[0]
        return None

    def connect(self, address: tuple[Any, Any]) -> None:
        """Connect each to its own address; both may wait, since a handshake takes what it takes."""
        self.ours.settimeout(SETTLED_S)
        self.theirs.settimeout(None)
        try:
            agree(lambda: self.ours.connect(address[0]), lambda: self.theirs.connect(address[1]))
        finally:
            self.ours.settimeout(0)
            self.theirs.settimeout(0)

    def accept(self) -> Twins | None:
        """Accept a connection on both."""
        both = self.agree("accept")
        if both is None:
            return None
        (ours, _), (theirs, _) = both
        ours.settimeout(0)
        theirs.settimeout(0)
        return Twins(ours, theirs, self.client)

    def receive(self, size: int, flags: int = 0) -> None:
        """Receive on both; a stream may come in pieces, so what is short is asked for the rest."""
        both = self.agree("recv", size, flags)
        if both is None:
            return
        left, right = both
        if self.kind == socket.SOCK_STREAM and not flags and len(left) != len(right):
            left += _rest(self.ours, len(right) - len(left))
            right += _rest(self.theirs, len(left) - len(right))
        assert left == right

    def settle(self) -> None:
        """Read back where both are bound: system calls bind without being asked to."""
        both = self.agree("getsockname")
        assert both is not None
        self.local = both
        assert _shape(self.family, both[0]) == _shape(self.family, both[1])

    def agree_on_peer(self, others: list[Twins]) -> None:
        """Compare whom both are connected to."""
        both = self.agree("getpeername")
        if both is not None:
            for side, (mine, known) in enumerate(zip(both, self._names(others), strict=True)):
                assert (mine in known) == (both[1 - side] in list(self._names(others))[1 - side])
            assert _shape(self.family, both[0]) == _shape(self.family, both[1])

    def agree_on_readiness(self, events: int) -> None:
        """Poll both until they say the same."""
        deadline = time.monotonic() + SETTLED_S
        while (ours := self._poll_ours(events)) != (theirs := self._poll_theirs(events)):
            assert time.monotonic() < deadline, (hex(ours), hex(theirs))

    def is_ready(self, events: int) -> bool:
        """Tell whether poll(2) finds the plain one ready."""
        return bool(self._poll_theirs(events))

    def close(self) -> None:
        """Close both."""
        self.theirs.close()
        self.ours.close()

    def _poll_ours(self, events: int) -> int:
        ready = self.client.poll([(self.ours, events)], 0)
        return ready[0].events if ready else 0

    def _poll_theirs(self, events: int) -> int:
        poll = select.poll()
        poll.register(self.theirs, events)
        ready = poll.poll(0)
        return ready[0][1] if ready else 0

    @staticmethod
    def _names(others: list[Twins]) -> tuple[list[Any], list[Any]]:
        return [each.local[0] for each in others], [each.local[1] for each in others]


def _rest(sock: Socket | socket.socket, size: int) -> bytes:
    """Receive ``size`` bytes more, as far as they come; none if it is not above 0."""
    data, deadline = b"", time.monotonic() + SETTLED_S
    while len(data) < size and time.monotonic() < deadline:
        with suppress(BlockingIOError):
            data += sock.recv(size - len(data))
    return data


def _shape(family: int, address: Any) -> Any:
    """Reduce an address to what must be alike: all but the port that the kernel chose, or the unique name."""
    if family in INET:
        host, port, *rest = address
        return (host, bool(port), *rest)
    return type(address), bool(address)
