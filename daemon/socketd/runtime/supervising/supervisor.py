"""The loop of `socketd run`: keeper and daemon are started, heard, replaced, and ended in their order."""

from __future__ import annotations

import logging
import select
from dataclasses import dataclass
from signal import Signals
from time import monotonic
from typing import TYPE_CHECKING

from socketd.kernel import scm
from socketd.runtime.supervising.processes import describe, reap

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.runtime.supervising.child import Child
    from socketd.runtime.supervising.mailbox import Notification
    from socketd.runtime.supervising.signals import SignalPipe
    from socketd.runtime.supervising.store import DescriptorStore
    from socketd.runtime.supervising.terminal import Terminal
    from socketd.runtime.systemd import Notifier

FORWARDED = ("READY", "RELOADING", "MONOTONIC_USEC", "STATUS")  # of what the daemon says, to our own manager
LONGEST_S = 3600.0
EXIT_FAILED = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outside:
    """What a supervisor has to do with, its children aside.

    Attributes:
        signals: What it is told.
        terminal: Whose end is its own.
        notifier: Who hears of the daemon.
        on_serving: Called once, when the daemon is ready for the first time; ``None`` for nobody.
    """

    signals: SignalPipe
    terminal: Terminal
    notifier: Notifier
    on_serving: Callable[[], None] | None


class Supervisor:
    """Sees to a keeper and a daemon until it is told to stop, or until one of them cannot start at all.

    Args:
        keeper: Started first; ended last.
        daemon: Never started but with a keeper that is ready.
        store: What the keeper may keep here.
        outside: See there.
    """

    def __init__(self, keeper: Child, daemon: Child, store: DescriptorStore, outside: Outside) -> None:
        self._keeper = keeper
        self._daemon = daemon
        self._store = store
        self._outside = outside
        self._notifier = outside.notifier
        self._is_stopping = False
        self._is_reload_due = False
        self._has_served = False
        self._status = 0

    def run(self) -> int:
        """Supervise; return the exit status."""
        try:
            while not self._is_over:
                self._settle()
                self._wait()
                self._notifier.alive()
                # Heard before the clock is looked at: we may have been stopped ourselves, by Ctrl-Z.
                self._hear()
                for number in self._outside.signals.take():
                    self._obey(number)
                for child in self._children:
                    child.check()
        finally:
            for child in self._children:
                child.kill()
        return self._status

    @property
    def _children(self) -> tuple[Child, Child]:
        return self._keeper, self._daemon

    @property
    def _is_over(self) -> bool:
        return self._is_stopping and all(child.is_gone for child in self._children)

    def _settle(self) -> None:
        """Start what may be started; when stopping, end the daemon, and then the keeper."""
        if not self._is_stopping:
            for child in self._children:
                if self._may_start(child) and monotonic() >= child.start_at:
                    child.start()
        elif not self._daemon.is_gone:
            # SIGQUIT is for good: the daemon closes what it holds. Before it is ready, it would dump a core.
            self._daemon.end(Signals.SIGQUIT if self._daemon.is_ready else Signals.SIGTERM)
        elif not self._keeper.is_gone:
            self._keeper.end(Signals.SIGTERM)

    def _may_start(self, child: Child) -> bool:
        return child.is_gone and (child is self._keeper or self._keeper.is_ready)

    def _wait(self) -> None:
        """Sleep until something happens, or is due."""
        moments = [child.deadline for child in self._children]
        if not self._is_stopping:
            moments += [child.start_at for child in self._children if self._may_start(child)]
        due_in_s = min((moment - monotonic() for moment in moments if moment is not None), default=LONGEST_S)
        if self._notifier.watchdog_s is not None:
            due_in_s = min(due_in_s, self._notifier.watchdog_s / 2)
        poll = select.poll()
        for fd in (self._outside.signals.fileno(), *(child.fileno() for child in self._children)):
            if fd is not None:
                poll.register(fd, select.POLLIN)
        poll.poll(max(due_in_s, 0.0) * 1000)

    def _hear(self) -> None:
        for message in self._keeper.receive():
            self._store.obey(message)
        for message in self._daemon.receive():
            self._hear_daemon(message)

    def _hear_daemon(self, message: Notification) -> None:
        scm.close(message.descriptors)  # what is to be kept is the keeper's business
        if self._is_stopping:
            return
        forwarded = {name: message.fields[name] for name in FORWARDED if name in message.fields}
        if forwarded:
            self._notifier.notify(**forwarded)
        if message.fields.get("READY") == "1":
            self._daemon_is_ready()

    def _obey(self, number: Signals) -> None:
        """Do what a signal asks for; see docs/operations.md."""
        if number == Signals.SIGCHLD:
            self._reap()
        elif number == Signals.SIGHUP:
            self._hang_up()
        elif number == Signals.SIGUSR1:
            self._replace()
        elif self._is_stopping and number == Signals.SIGINT:  # again: whoever sits there has waited enough
            for child in self._children:
                child.kill()
        else:
            self._stop()

    def _hang_up(self) -> None:
        """Reload, by custom; but end when it was sent because our terminal is gone."""
        if self._outside.terminal.is_lost:
            self._stop()
            return
        self._is_reload_due = self._daemon.pid is not None  # else the next one reads what is there by then
        self._reload()

    def _daemon_is_ready(self) -> None:
        if not self._has_served and self._outside.on_serving is not None:
            self._outside.on_serving()
        self._has_served = True
        self._reload()

    def _reload(self) -> None:
        """Have the daemon read its configuration; before it is ready SIGHUP would end it."""
        if self._is_reload_due and self._daemon.is_ready:
            self._is_reload_due = False
            self._daemon.send(Signals.SIGHUP)

    def _replace(self) -> None:
        """Let the daemon end without closing anything, and start what is installed by now in its place."""
        if self._is_stopping:
            return
        if self._daemon.pid is None:
            self._daemon.start_at = monotonic()
            return
        log.info("replacing the daemon (pid %d)", self._daemon.pid)
        self._daemon.end(Signals.SIGTERM)

    def _stop(self) -> None:
        if self._is_stopping:
            return
        self._is_stopping = True
        self._notifier.notify(STOPPING=1, STATUS="closing the held sockets")

    def _reap(self) -> None:
        for pid, status in reap():
            for child in self._children:
                if child.pid == pid:
                    self._hear()  # its last words, before its mailbox is closed
                    self._bury(child, status)
        for child in self._children:
            child.look()

    def _bury(self, child: Child, status: int) -> None:
        pid, was_told = child.pid, child.is_ending
        child.bury()
        if self._is_stopping or was_told:
            log.debug("%s (pid %s) %s", child.name, pid, describe(status))
        elif not child.was_ready:
            log.error(
                "%s (pid %s) %s before it was ready; not trying again", child.name, pid, describe(status)
            )
            self._status = status or EXIT_FAILED
            self._stop()
        else:
            log.warning("%s (pid %s) %s; starting another", child.name, pid, describe(status))
            self._notifier.notify(STATUS=f"{child.name} {describe(status)}; starting another")
