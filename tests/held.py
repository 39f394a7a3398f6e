"""A service around a table of real sockets, with a clock that a test moves, for tests without a server."""

from __future__ import annotations

import _socket
import posix
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from socketd.access.caller import Caller
from socketd.core import address_text
from socketd.core.creation import Specification
from socketd.core.keeping import ALONE
from socketd.core.options import lookup
from socketd.core.owner import Owner
from socketd.core.table import Origin
from socketd.core.waiting import Patience
from socketd.runtime.pumping.pump import SplicePump
from socketd.service import NO_ARCHIVE, Call, Limits, build
from socketd.service.guard import Fixed
from tests.policies import policy
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from socketd.core.entry import Entry
    from socketd.core.pumping import Pump
    from socketd.core.seams import Keeper, Resolver, SocketFactory
    from socketd.service import Archive
    from socketd.service.guard import InForce

FIRST = 200  # above what a test run has open for itself
ROOT, ANN, BOB = 0, 1000, 1001
LOOPBACK = "127.0.0.1:0"


_EVERYTHING = (
    *(f'{each} = "*"' for each in ("families", "types", "protocols", "bind", "connect", "options", "names")),
    *(f"{each} = true" for each in ("take", "give", "persist")),
)
_RULES = (
    *("[[rule]]", 'name = "anyone"', "anyone = true", *_EVERYTHING),
    *("[[rule]]", 'name = "root"', "uid = 0", *_EVERYTHING),
    *('see = "all"', "adopt_pid = true", "metrics = true", "api = true"),
)
EVERYBODY_MAY = Fixed(policy("\n".join(_RULES)))
"""Who asks may do everything; what sockets they see, and whose, is as ever."""


class ManualClock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1_795_000_000.0 + self.now


class FailingFactory:
    """``socket(2)`` that fails on the n-th call, counted from 1, with an errno."""

    def __init__(self, nth: int, number: int) -> None:
        self._left = nth
        self._number = number

    def __call__(self, family: int, kind: int, protocol: int, /) -> _socket.socket:
        self._left -= 1
        if self._left == 0:
            raise OSError(self._number, "no")
        return _socket.socket(family, kind, protocol)


class FixedResolver:
    """``getaddrinfo(3)`` that knows a few names, for every service and type, and numbers."""

    def __init__(self, hosts: Mapping[str, list[str]]) -> None:
        self._hosts = hosts

    def __call__(
        self, host: str | None, port: str | int | None, family: int, kind: int, proto: int, flags: int, /
    ) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
        found: list[tuple[int, int, int, str, Any]] = []
        for each in self._hosts.get(host or "", [host]):
            found += socket.getaddrinfo(each, port, family, kind, proto, flags)
        return found


class Held:
    """A service, and short ways to put sockets into its table."""

    def __init__(  # noqa: PLR0913 (one for each seam)
        self,
        *,
        limits: Limits | None = None,
        resolver: Resolver = socket.getaddrinfo,
        factory: SocketFactory = _socket.socket,
        keeper: Keeper = ALONE,
        archive: Archive = NO_ARCHIVE,
        policies: InForce | None = None,
        pump: Pump | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.waiter = PollWaiter()
        self.service = build(
            replace(limits or Limits(), first_number=FIRST),
            resolver=resolver,
            clock=self.clock,
            factory=factory,
            keeper=keeper,
            archive=archive,
            policies=policies or EVERYBODY_MAY,
            pump=pump or new_pump(),
        )
        self.table = self.service.table

    def call(
        self,
        uid: int = ROOT,
        *,
        waiter: PollWaiter | None = None,
        expected: frozenset[int] | None = None,
        key: str | None = None,
    ) -> Call:
        """Make a request of somebody."""
        return Call(
            Caller(Owner(uid), uid, frozenset({uid}), None, "unix"),
            waiter or self.waiter,
            self.service.guard,
            expected,
            key,
        )

    def patience(self, timeout_s: float = 10.0, waiter: PollWaiter | None = None) -> Patience:
        """Be ready to wait that long from now."""
        return Patience.of(waiter or self.waiter, timeout_s)

    def make(
        self, wanted: Specification, *, uid: int = ROOT, name: str | None = None, timeout_s: float = 10.0
    ) -> Entry:
        """Create one socket through the service."""
        return self.service.sockets.create(self.call(uid), wanted, Origin(Owner(uid), name), timeout_s)

    def tcp(self, *, uid: int = ROOT, name: str | None = None) -> Entry:
        """Create a fresh TCP socket."""
        return self.make(specification(), uid=uid, name=name)

    def listener(self, backlog: int = 16, *, uid: int = ROOT, name: str | None = None) -> Entry:
        """Listen on a TCP port of the kernel's choice."""
        return self.make(specification(bind=LOOPBACK, backlog=backlog), uid=uid, name=name)

    def udp(self, bind: str = LOOPBACK) -> Entry:
        """Bind a UDP socket."""
        return self.make(specification(kind=socket.SOCK_DGRAM, bind=bind))

    def pair(self, kind: int = socket.SOCK_STREAM) -> tuple[Entry, Entry]:
        """Hold a Unix socket pair."""
        left, right = self.service.sockets.pair(self.call(), socket.AF_UNIX, kind, 0, (None, None))
        return left, right

    def connection(self) -> tuple[Entry, Entry]:
        """Hold both ends of a TCP connection: who connected, and who was accepted."""
        listener = self.listener()
        near = self.make(specification(connect=where(listener)))
        (far,) = self.service.sockets.accept(self.call(), listener.reference, 10.0, 1, None)
        self.table.close(listener)
        return near, far


def new_pump() -> SplicePump:
    """Make the daemon's pump for a test without a loop: the end of a flow is told in a thread of its own."""
    return SplicePump(_in_a_thread, posix.close)


def _in_a_thread(what: Callable[[], None]) -> None:
    threading.Thread(target=what).start()


def specification(  # noqa: PLR0913 (as many as a specification has)
    family: int | None = None,
    kind: int = socket.SOCK_STREAM,
    protocol: int = 0,
    *,
    bind: str | None = None,
    connect: str | None = None,
    backlog: int | None = None,
    options: Mapping[str, object] | None = None,
) -> Specification:
    """Say what a new socket shall be, addresses as text."""
    return Specification(
        family,
        kind,
        protocol,
        tuple((lookup(name), value) for name, value in (options or {}).items()),
        None if bind is None else address_text.parse(bind),
        None if connect is None else address_text.parse(connect),
        backlog,
    )


def where(entry: Entry) -> str:
    """Write the local address of a held inet socket."""
    host, port = entry.sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def open_numbers() -> set[str]:
    """List this process's descriptors."""
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}
