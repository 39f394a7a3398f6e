"""A keeper's loop in a thread, with its own path, for tests that need no process of its own."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from socketd.keeper.copies import Copies
from socketd.keeper.holding import Holding
from socketd.keeper.notify import Supervisor
from socketd.keeper.place import Place
from socketd.keeper.returned import Returned
from socketd.keeper.server import Server
from tests.unit.keeper.parties import PATIENCE_S, Daemon, Manager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from socketd.keeper.protocol import Mode

MANY = 1_000_000


class Keeping:
    """A keeper.

    Attributes:
        path: Where daemons connect.
    """

    def __init__(self, folder: Path, supervisor: Supervisor, highest_fd: int = MANY) -> None:
        self.path = str(folder / "k.sock")
        self._place = Place.open(folder / "k.sock")
        self._supervisor = supervisor
        self._holding = Holding(Copies(supervisor, Returned()), [])
        self._reading, self._writing = socket.socketpair()
        server = Server(self._place.listener, self._holding, supervisor, self._reading.fileno(), highest_fd)
        self._thread = threading.Thread(target=server.run)
        self._thread.start()

    def close(self) -> None:
        """End it as SIGTERM would; more than once is once."""
        if not self._thread.is_alive():
            return
        self._writing.send(b"\0")
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self._holding.close()
        self._supervisor.close()
        self._place.close()
        self._reading.close()
        self._writing.close()


@pytest.fixture
def make_keeper(tmp_path: Path) -> Iterator[Callable[..., Keeping]]:
    """Start keepers that end with the test."""
    with ExitStack() as stack:

        def make(capacity: int = 0, highest_fd: int = MANY, **supervised: object) -> Keeping:
            address = str(tmp_path / "notify") if capacity or supervised else None
            label = str(supervised.get("label", "systemd"))
            watchdog_s = supervised.get("watchdog_s")
            assert watchdog_s is None or isinstance(watchdog_s, float)
            keeping = Keeping(tmp_path, Supervisor(address, label, capacity, watchdog_s), highest_fd)
            stack.callback(keeping.close)
            return keeping

        yield make


@pytest.fixture
def keeper(make_keeper: Callable[..., Keeping]) -> Keeping:
    """Start a keeper that nobody supervises."""
    return make_keeper()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """Play systemd."""
    with Manager(str(tmp_path / "notify")) as played:
        yield played


@pytest.fixture
def connect(keeper: Keeping) -> Iterator[Callable[..., Daemon]]:
    """Connect daemons that end with the test."""
    with ExitStack() as stack:

        def make(*mode: Mode | None) -> Daemon:
            return stack.enter_context(Daemon(keeper.path, *mode))

        yield make


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Make two ends; the test closes them as it likes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs
