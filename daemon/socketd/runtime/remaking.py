"""Keeping promises in the background: promised sockets are made when the daemon starts, and tried again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import gevent
from gevent.event import Event

if TYPE_CHECKING:
    from socketd.service.boot import Boot

FIRST_ROUND_S: Final = 5.0
"""What serving waits for the first round: a name server that does not answer must not hold it up for ever."""

log = logging.getLogger(__name__)


def start(boot: Boot) -> None:
    """Make what is promised, in a greenlet; returns when each has been tried once, or after a few seconds."""
    is_tried = Event()

    def run() -> None:
        while True:
            pause_s = boot.remake()
            is_tried.set()
            gevent.sleep(pause_s)

    gevent.spawn(run)
    if not is_tried.wait(FIRST_ROUND_S):
        log.warning(
            "not all promised sockets could be tried within %g s; serving without them", FIRST_ROUND_S
        )
