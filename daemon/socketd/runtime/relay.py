"""The worker's words to the service manager, passed on by the main process, the only one it listens to."""

from __future__ import annotations

import fcntl
import logging
import os
import select
import signal
import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from socketd.runtime.systemd import Notifier

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_MESSAGE = 4096

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayedNotifier(Notifier):
    """Says what it has to say to the process that passes it on.

    Attributes:
        outward: Where that process listens.
    """

    outward: socket.socket

    def send(self, message: bytes) -> None:
        """Hand one message over; never fails, never blocks."""
        try:
            self.outward.send(message)
        except OSError as error:
            log.warning("the main process passes nothing on: %s", error.strerror)


@contextmanager
def relayed(notifier: Notifier) -> Iterator[Notifier]:
    """Yield a notifier for this process's children, whose messages this process sends.

    A signal says that there is one, since the main thread is in gunicorn's hands: between two bytecodes of
    whatever it does, Python runs the handler.
    """
    inward, outward = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with inward, outward:
        before = signal.signal(signal.SIGIO, lambda _number, _frame: passing.pass_on())
        passing = _Passing(notifier, inward)
        try:
            fcntl.fcntl(inward, fcntl.F_SETOWN, os.getpid())  # no child's, whichever process reads or forks
            fcntl.fcntl(inward, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
            yield RelayedNotifier(
                address=notifier.address,
                main_pid=notifier.main_pid,
                watchdog_s=notifier.watchdog_s,
                outward=outward,
            )
        finally:
            fcntl.fcntl(inward, fcntl.F_SETFL, os.O_NONBLOCK)
            signal.signal(signal.SIGIO, before)


class _Passing:
    """Passes on what comes, in its order."""

    def __init__(self, notifier: Notifier, inward: socket.socket) -> None:
        self._notifier = notifier
        self._inward = inward
        self._is_running = False

    def pass_on(self) -> None:
        """Send all that is there; a signal that comes meanwhile leaves it to the call it interrupts."""
        while not self._is_running and select.select([self._inward], [], [], 0)[0]:
            self._is_running = True
            try:
                with suppress(BlockingIOError):
                    while True:
                        self._notifier.send(self._inward.recv(LARGEST_MESSAGE))
            finally:
                # What came since the last recv had its signal ignored: look again, with select.
                self._is_running = False
