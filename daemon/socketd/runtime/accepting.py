"""Accepting connections of the API, and what is done when there is no room for another."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.server import StreamServer

from socketd.errors import TooManyConnectionsError
from socketd.runtime import malformed
from socketd.runtime.pace import PlainConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from gevent.pool import Pool

SHED_AT_ONCE: Final = 32
"""Idle connections that end for one that has no room; nginx ends as many."""
_AGAIN_S: Final = 0.01
"""Until those have ended. Their end is awaited by nothing else, and EMFILE is no event."""
_FAREWELL_S: Final = 0.2
_FAREWELL_BYTES: Final = 65536
_HUNGER: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Origin:
    """What a connection asks of the listener that it came by, also when that is closed by now.

    Of some hundreds that were accepted right before the end, each begins when the loop comes to it.
    """

    def __init__(self, listener: Any) -> None:
        self.family = listener.family
        self._name = listener.getsockname()

    def getsockname(self) -> Any:
        """Give its address, as a socket would."""
        return self._name


class Spare:
    """A descriptor kept for the moment when there are no others: one client can then be told."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self.renew()

    def give(self) -> bool:
        """Free it; ``False`` if it is given already."""
        if self._fd is None:
            return False
        os.close(self._fd)
        self._fd = None
        return True

    def renew(self) -> None:
        """Take one again, if there is one."""
        if self._fd is None:
            with suppress(OSError):
                self._fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


class Listener(StreamServer):  # type: ignore[misc]
    """Accepts; where there is no room it ends what is idle, and tells the client to come again if nothing is.

    gevent's own prints a traceback when ``accept`` fails, and leaves clients in the backlog, untold, as long
    as the pool is full.

    Args:
        listener: Listens already.
        handle: Serves a connection.
        pool: Of the greenlets that serve; bounds them.
        spare: Shared by all listeners.
        shed: Ends so many idle connections, if there are as many; says how many.
    """

    def __init__(
        self,
        listener: Any,
        handle: Callable[[Any, Any], None],
        pool: Pool,
        spare: Spare,
        shed: Callable[[int], int],
    ) -> None:
        super().__init__(listener, handle=handle, spawn=pool)
        self._spare = spare
        self._shed = shed
        self.full = lambda: False  # do_read looks

    def do_read(self) -> tuple[Any, Any] | None:
        """Accept one; ``None``: there is none, or no room."""
        if self.pool.full():
            self._make_room()
            return None
        try:
            fd, address = self.socket._accept()  # noqa: SLF001 (as gevent does)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in _HUNGER:
                self._make_room()
            return None  # else it is the connection that failed (accept(2)), and another may wait behind it
        self._spare.renew()
        return self._connection(fd), address

    def _connection(self, fd: int) -> PlainConnection:
        return PlainConnection(self.socket.family, self.socket.type, self.socket.proto, fileno=fd)

    def _make_room(self) -> None:
        self.stop_accepting()
        if self._shed(SHED_AT_ONCE) or not self._turn_away():
            self._timer = self.loop.timer(_AGAIN_S)
            self._timer.start(self._start_accepting_if_started)

    def _turn_away(self) -> bool:
        """Take the spare's place for one client, and tell it; ``False`` if that cannot be."""
        if not self._spare.give():
            return False
        try:
            fd, _ = self.socket._accept()  # noqa: SLF001
        except OSError:
            self._spare.renew()
            return False
        gevent.spawn(self._tell, self._connection(fd))
        return True

    def _tell(self, client: PlainConnection) -> None:
        """Answer when it has asked: a client that finds its connection closed as it writes may not read."""
        try:
            with suppress(OSError), gevent.Timeout(_FAREWELL_S, False):  # noqa: FBT003 (gevent's signature)
                client.recv(_FAREWELL_BYTES)
            with suppress(OSError):
                client.send(malformed.answer(HTTPStatus.SERVICE_UNAVAILABLE, TooManyConnectionsError()))
        finally:
            client.close()
            self._spare.renew()
            self._start_accepting_if_started()
