"""A keeper that says exactly what the test says, and the link that it is the other end of."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, TypeVar

import gevent
import pytest
from gevent import socket as gevent_socket

from socketd.core.owner import Owner
from socketd.core.table import Origin
from socketd.keeper import protocol
from socketd.keeper.protocol import Ack, Batch, Hello, Missing, Mode, Retain, Store, Welcome
from socketd.kernel import scm
from socketd.runtime.keeping.link import Link
from socketd.runtime.waiting import give_way
from socketd.service import Limits, build
from tests.held import FIRST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    from socketd.core.entry import Entry
    from socketd.core.seams import Keeper
    from socketd.keeper.protocol import FromKeeper, Record
    from socketd.service import Service

    def conforms(link: Link) -> Keeper:
        return link


LONG_S = 30.0  # never waited out: what is tested comes before
Kind = TypeVar("Kind")


class ScriptedKeeper:
    """Listens, and speaks the protocol one message at a time; what it is sent it closes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._listener = gevent_socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(path)
        self._listener.listen()
        self._listener.settimeout(LONG_S)
        self._connection: gevent_socket.socket | None = None
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self._listener.close()

    def hang_up(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def welcome(self, mode: Mode, last_number: int = 0, store: str = "") -> None:
        """Let the daemon in, which wants that."""
        self.hang_up()
        self._connection, _ = self._listener.accept()
        self._sequence = 0
        assert self.hear(Hello)[1] == Hello(protocol.VERSION, mode)
        self.say(Welcome(protocol.VERSION, 0, last_number, store))

    def say(self, message: FromKeeper, *fds: int) -> None:
        """Send a message."""
        assert self._connection is not None
        self._sequence += 1
        scm.send(self._connection.fileno(), protocol.encode(message, self._sequence), fds)

    def hear(self, kind: type[Kind]) -> tuple[int, Kind]:
        """Return sequence and message of the next one, which is of that kind."""
        assert self._connection is not None
        gevent_socket.wait_read(self._connection.fileno(), timeout=LONG_S)
        came = scm.receive(self._connection.fileno(), protocol.MOST_BYTES)
        scm.close(came.descriptors)
        sequence, message = protocol.from_daemon(came.data, len(came.descriptors))
        assert isinstance(message, kind), message
        return sequence, message

    def do(self, kind: type[Kind]) -> Kind:
        """Hear a message, and say that it is done."""
        sequence, message = self.hear(kind)
        self.say(Ack(sequence))
        return message

    def has_heard_all(self) -> bool:
        """Whether nothing is there that was not heard."""
        assert self._connection is not None
        give_way()
        try:
            gevent_socket.wait_read(self._connection.fileno(), timeout=0.05)
        except TimeoutError:
            return True
        return False


class Couple:
    """A link with its table, and its keeper."""

    def __init__(self, keeper: ScriptedKeeper) -> None:
        self.keeper = keeper
        self.link = Link(keeper.path)
        self.service: Service = build(
            Limits(descriptors=4000, first_number=FIRST),
            resolver=socket.getaddrinfo,
            clock=time,
            keeper=self.link,
        )

    def join(
        self, *records: Record, fds: tuple[int, ...] = (), last_number: int = 0, store: str = ""
    ) -> None:
        """Have the link fetch ``records``."""
        joining = gevent.spawn(self.link.join, self.service.table, self.service.table.numbers, 0.0)
        self.keeper.welcome(Mode.FETCH, last_number, store)
        self.keeper.say(Batch(records, is_last=True), *fds)
        assert self.keeper.hear(Ack)[1] == Ack(2)
        joining.get(timeout=LONG_S)

    def hold(self, group: int = 0) -> Entry:
        """Hold a new socket."""
        return self.service.table.hold(socket.socket(), Origin(Owner(0), group=group))

    def created(self) -> Entry:
        """Hold a new socket, and have the keeper have it."""
        entry = self.hold()
        confirming = gevent.spawn(self.link.confirm)
        self.keeper.do(Store)
        confirming.get(timeout=LONG_S)
        self.until_kept(entry, "keeper")
        return entry

    def resume(self, *missing: int) -> Retain:
        """Let the link in again, up to what it has to say; return what it retains."""
        self.keeper.welcome(Mode.RESUME)
        _, retain = self.keeper.hear(Retain)
        self.keeper.say(Missing(missing, is_last=True))
        return retain

    def until_kept(self, entry: Entry, kept: str) -> None:
        """Let the loop run until that is so."""
        deadline = time.monotonic() + LONG_S
        while entry.kept != kept:
            assert time.monotonic() < deadline, entry.kept
            gevent.sleep(0.001)

    def until_up(self) -> None:
        """Let the loop run until the link is whole."""
        deadline = time.monotonic() + LONG_S
        while self.link.state() != "up":
            assert time.monotonic() < deadline
            gevent.sleep(0.001)


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[ScriptedKeeper]:
    with ScriptedKeeper(str(tmp_path / "k")) as scripted:
        yield scripted


@pytest.fixture
def couple(keeper: ScriptedKeeper) -> Iterator[Couple]:
    both = Couple(keeper)
    yield both
    both.link.close()
    both.service.table.close_all()


@pytest.fixture
def joined(couple: Couple) -> Couple:
    couple.join()
    return couple
