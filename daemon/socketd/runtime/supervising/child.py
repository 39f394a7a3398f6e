"""One program under supervision: at most one process of it at a time, and what that one has last said."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from socketd.runtime.supervising.backoff import Backoff
from socketd.runtime.supervising.mailbox import Mailbox
from socketd.runtime.supervising.processes import is_group_empty, kill_group, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from signal import Signals

    from socketd.runtime.supervising.mailbox import Notification
    from socketd.runtime.supervising.processes import NamedDescriptor, Program

MICROSECONDS = 1_000_000
MOST_AT_ONCE = 1024  # messages, before everything else gets its turn again

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a child is waited for, in seconds.

    Attributes:
        start_s: Until it says READY=1.
        watchdog_s: From one WATCHDOG=1 to the next.
        stop_s: From the signal that ends it to SIGKILL.
    """

    start_s: float
    watchdog_s: float
    stop_s: float


class Child:
    """A program, and its process if it has one.

    Args:
        program: What runs.
        patience: When a process of it is given up.
        descriptors: Asked at each start what it is given; they stay their owner's.
    """

    def __init__(
        self, program: Program, patience: Patience, descriptors: Callable[[], Sequence[NamedDescriptor]]
    ) -> None:
        self.name = program.name
        self.pid: int | None = None  # the process that we started, until it has ended
        self.is_ready = False
        self.was_ready = False  # one of its processes was
        self.start_at = 0.0  # while there is no process: when there may be one again
        self._program = program
        self._patience = patience
        self._descriptors = descriptors
        self._backoff = Backoff()
        self._group: int | None = None  # until no process of it is left
        self._mailbox: Mailbox | None = None
        self._heard_at = 0.0
        self._ready_at: float | None = None
        self._ending: Signals | None = None
        self._kill_at: float | None = None

    @property
    def is_gone(self) -> bool:
        """Whether no process of it is left, of its group neither."""
        return self._group is None

    @property
    def is_ending(self) -> bool:
        """Whether it was told to."""
        return self._ending is not None

    @property
    def deadline(self) -> float | None:
        """When ``check`` has something to do, unless it is heard of before."""
        if self.pid is None:
            return None
        if self._kill_at is not None:
            return self._kill_at
        return self._heard_at + (self._patience.watchdog_s if self.is_ready else self._patience.start_s)

    def start(self) -> None:
        """Start a process; there must be none. If the system refuses, ``start_at`` says when to ask again."""
        try:
            self._mailbox = Mailbox()
            self.pid = self._group = spawn(self._program, self._told(self._mailbox), self._descriptors())
        except OSError as error:  # EMFILE, EAGAIN, ENOMEM: what the other child holds must not end with us
            log.error("%s cannot be started: %s", self.name, error.strerror)  # noqa: TRY400 - no traceback
            self._close_mailbox()
            self.start_at = monotonic() + self._backoff.after(0.0)
            return
        self._heard_at = monotonic()
        self._ready_at = self._ending = self._kill_at = None
        log.debug("%s (pid %d) started", self.name, self.pid)

    def fileno(self) -> int | None:
        """Return what to poll for messages, if there may be any."""
        return None if self._mailbox is None else self._mailbox.fileno()

    def receive(self) -> Iterator[Notification]:
        """Yield what it has said; the caller owns the descriptors. Does not wait."""
        for _ in range(MOST_AT_ONCE):
            message = None if self._mailbox is None else self._mailbox.receive()
            if message is None:
                return
            if message.fields.get("READY") == "1" and not self.is_ready:
                self.is_ready = self.was_ready = True
                self._ready_at = self._heard_at = monotonic()
            if message.fields.get("WATCHDOG") == "1":
                self._heard_at = monotonic()
            yield message

    def send(self, number: Signals) -> None:
        """Send a signal to its main process, if there is one."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def end(self, number: Signals) -> None:
        """Tell it to end by ``number``, once, and have it killed when it takes too long."""
        if self._ending == number:
            return
        self._ending = number
        self._kill_at = monotonic() + self._patience.stop_s
        self.send(number)

    def kill(self) -> None:
        """End every process of its group at once."""
        if self._group is not None:
            kill_group(self._group)

    def check(self) -> None:
        """Kill what has not done in time what it should."""
        if self.deadline is None or monotonic() < self.deadline:
            return
        log.error("%s (pid %s): %s; killing it", self.name, self.pid, self._complaint())
        self._kill_at = monotonic() + self._patience.stop_s
        self.kill()

    def bury(self) -> None:
        """Take note that its main process has ended; the others of its group end now too."""
        up_s = 0.0 if self._ready_at is None else monotonic() - self._ready_at
        self.start_at = monotonic() + (0.0 if self.is_ending else self._backoff.after(up_s))
        self.kill()
        self.pid = None
        self.is_ready = False
        self._close_mailbox()

    def look(self) -> None:
        """See whether the last process of a group whose main process has ended is gone as well."""
        if self.pid is None and self._group is not None and is_group_empty(self._group):
            self._group = None

    def _told(self, mailbox: Mailbox) -> dict[str, str]:
        watchdog_us = round(self._patience.watchdog_s * MICROSECONDS)
        return {"NOTIFY_SOCKET": mailbox.address, "WATCHDOG_USEC": str(watchdog_us)}

    def _close_mailbox(self) -> None:
        if self._mailbox is not None:
            self._mailbox.close()
            self._mailbox = None

    def _complaint(self) -> str:
        if self._kill_at is not None:
            return f"has not ended in {self._patience.stop_s:g} s"
        if self.is_ready:
            return f"no WATCHDOG=1 for {self._patience.watchdog_s:g} s"
        return f"not ready after {self._patience.start_s:g} s"
