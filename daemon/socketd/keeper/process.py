"""The keeper's process, from its start to its end."""

from __future__ import annotations

import contextlib
import logging
import resource
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from socketd.keeper.copies import Copies
from socketd.keeper.holding import Holding
from socketd.keeper.notify import Supervisor
from socketd.keeper.place import Place, PlaceError
from socketd.keeper.returned import take_back
from socketd.keeper.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

SPARE: Final = 16
"""Descriptors no daemon can fill: the next daemon's connection, a barrier's pipe."""
_FORMAT: Final = "%(levelname)s %(name)s[%(process)d]: %(message)s"

log = logging.getLogger(__name__)


def keep(path: str, environ: MutableMapping[str, str]) -> int:
    """Hold second copies for the daemon that connects at ``path``; return the exit status.

    Returns after SIGTERM or SIGINT. Takes the supervisor's variables out of ``environ``.
    """
    logging.basicConfig(level=logging.INFO, format=_FORMAT)  # nothing where it is set up already
    limit = _raise_limit()
    try:
        place = Place.open(Path(path))
    except PlaceError as error:
        log.error("%s", error)  # noqa: TRY400 - for people
        return 1
    with contextlib.closing(place), _signals() as ending_fd:
        supervisor = Supervisor.from_environ(environ)
        returned = take_back(environ)
        holding = Holding(Copies(supervisor, returned), returned.held.values())
        log.info("keeping at %s; %d sockets held", path, len(holding))
        Server(place.listener, holding, supervisor, ending_fd, limit - SPARE).run()
        log.info("ending with %d sockets held", len(holding))
        holding.close()
        supervisor.close()
    return 0


def _raise_limit() -> int:
    """Allow ourselves as many descriptors as we may; return how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """Turn SIGTERM and SIGINT into bytes on a descriptor; SIGHUP is nothing to us."""
    reading, writing = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with reading, writing:
        before = signal.set_wakeup_fd(writing.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            yield reading.fileno()
        finally:
            signal.set_wakeup_fd(before)
