"""The parent's loop: start, replace when told, start again after a crash, end with the program."""

from __future__ import annotations

import os
import select
import signal
import time
from typing import TYPE_CHECKING

from socketd_client.cli import exits
from socketd_client.cli.failures import CommandError
from socketd_client.cli.supervising.arrivals import PASSED_ON, STOPPING, arrivals
from socketd_client.cli.supervising.generation import Generation, start
from socketd_client.cli.supervising.policy import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from socketd_client.cli.activation import Program
    from socketd_client.cli.supervising.arrivals import Arrivals
    from socketd_client.cli.supervising.notify import Outbox
    from socketd_client.cli.supervising.policy import Policy


class Supervisor:
    """Keeps one program running on the sockets.

    At most three of it exist: ``serving``, ``coming`` (started, not ready yet) and ``leaving`` (told to end).

    Args:
        program: What to run.
        fds: Its sockets, owned by the caller and left as they are.
        policy: How to treat it.
        outbox: Whom to tell.
        log: Takes a line about each change.
    """

    def __init__(
        self,
        program: Program,
        fds: Sequence[int],
        policy: Policy,
        outbox: Outbox,
        log: Callable[[str], object],
    ) -> None:
        self._program = program
        self._fds = fds
        self._policy = policy
        self._outbox = outbox
        self._log = log
        self._backoff = Backoff(policy)
        self._serving: Generation | None = None
        self._coming: Generation | None = None
        self._leaving: Generation | None = None
        self._restart_at: float | None = None
        self._is_reload_due = False
        self._stop: signal.Signals | None = None
        self._status: int | None = None  # what to end with, once it is known

    def run(self) -> int:
        """Run until the program has ended for good; return the exit status, 128 and the number for a signal.

        Raises:
            CommandError: The program cannot be executed the first time.
        """
        with arrivals() as arrived:
            try:
                self._coming = self._start()
                while self._status is None or self._generations():
                    self._wait(arrived)
                    for number in arrived.take():
                        self._on_signal(number)
                    self._reap()
                    self._on_time()
            finally:
                self._abandon()
        return self._status

    # --- what happens --------------------------------------------------------------------------------

    def _wait(self, arrived: Arrivals) -> None:
        """Sleep until a signal, a message or the next deadline, and read the messages."""
        poll = select.poll()
        poll.register(arrived, select.POLLIN)
        inboxes = {one.inbox.fileno(): one for one in self._generations()}
        for fd in inboxes:
            poll.register(fd, select.POLLIN)
        due = [at for at in self._deadlines() if at is not None]
        left_ms = None if not due else max(0.0, min(due) - time.monotonic()) * 1000 + 1
        for fd, _ in poll.poll(left_ms):
            if fd in inboxes:
                self._on_message(inboxes[fd])

    def _on_signal(self, number: signal.Signals) -> None:
        if number in STOPPING:
            self._begin_stop(number)
        elif number == signal.SIGHUP:
            self._reload()
        elif number in PASSED_ON:
            target = self._serving or self._coming
            if target is not None:
                target.signal(number)

    def _on_message(self, generation: Generation) -> None:
        lines = generation.inbox.read(generation.pid)
        # One that was told to end, being too late, comes too late.
        if generation is self._coming and generation.kill_at is None and "READY=1" in lines:
            self._became_ready(generation)
        if generation is self._serving:
            # Ours is the process that systemd watches: of the program's words only these are true of us.
            passed = [
                line for line in lines if line.startswith(("STATUS=", "WATCHDOG=", "EXTEND_TIMEOUT_USEC="))
            ]
            if passed:
                self._outbox.send(*passed)

    def _reap(self) -> None:
        """Collect every child that has ended; as process 1, everybody's orphans are among them."""
        while (pid := _ended_child()) is not None:
            ended = next((one for one in self._generations() if one.pid == pid), None)
            if ended is not None:
                ended.end_rest()
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if ended is not None:
                self._on_end(ended, exits.SIGNALLED - code if code < 0 else code)

    def _on_time(self) -> None:
        now = time.monotonic()
        coming = self._coming
        if coming is not None and coming.kill_at is None and now >= self._verdict_at(coming):
            if self._policy.ready_delay_s is None:
                self._log(f"{self._named(coming)} did not say READY=1 in {self._policy.start_timeout_s:g} s")
                self._end(coming, self._policy.stop_signal)
            else:
                self._became_ready(coming)
        for one in self._generations():
            if one.kill_at is not None and now >= one.kill_at:
                self._log(f"{self._named(one)} does not end: killing it")
                one.kill()
                one.kill_at = now + self._policy.stop_timeout_s
        if self._restart_at is not None and now >= self._restart_at:
            self._restart_at = None
            self._try_start()

    # --- what is done about it -----------------------------------------------------------------------

    def _start(self) -> Generation:
        coming = start(self._program, self._fds, time.monotonic())
        self._log(f"started {self._named(coming)}")
        return coming

    def _try_start(self) -> None:
        try:
            self._coming = self._start()
        except CommandError as error:
            self._log(str(error))
            self._came_to_nothing(error.status, 0.0)

    def _reload(self) -> None:
        """Start the next one now, or as soon as the last replacement is over."""
        if self._stop is not None or self._status is not None:
            return
        if self._coming is not None or self._leaving is not None:
            self._is_reload_due = True
            return
        self._is_reload_due = False
        self._restart_at = None
        if self._serving is not None:
            self._outbox.reloading()
        self._try_start()

    def _became_ready(self, coming: Generation) -> None:
        self._log(f"{self._named(coming)} is ready")
        coming.since = time.monotonic()
        self._leaving, self._serving, self._coming = self._serving, coming, None
        self._outbox.ready(f"Process {coming.pid} serves")
        if self._leaving is not None:
            self._end(self._leaving, self._policy.stop_signal)
        elif self._is_reload_due:
            self._reload()

    def _on_end(self, ended: Generation, status: int) -> None:
        self._log(f"{self._named(ended)} ended with status {status}")
        ended.close()
        role = self._forget(ended)
        if self._stop is not None:
            # The one that served says how it went.
            if role == "serving" or self._status is None:
                self._status = status
        elif role == "leaving":
            if self._is_reload_due:
                self._reload()
        elif role == "coming" or self._coming is None:
            self._came_to_nothing(status, time.monotonic() - ended.since if role == "serving" else 0.0)

    def _came_to_nothing(self, status: int, served_s: float) -> None:
        """Go on after a program that failed to start, or has ended without being told to."""
        if self._serving is not None:
            self._log(f"the next one failed; {self._named(self._serving)} goes on serving")
            self._outbox.ready(f"Reload failed; process {self._serving.pid} goes on serving")
            if self._is_reload_due:
                self._reload()
            return
        delay_s = self._backoff.crashed(served_s) if self._backoff.wants_restart(status) else None
        if delay_s is None:
            self._status = status
            self._outbox.stopping()
            self._end_all(self._policy.stop_signal)
            return
        self._is_reload_due = False  # the start to come is as new as any
        self._log(f"starting it again in {delay_s:g} s")
        self._outbox.send(f"STATUS=Ended with status {status}; starting it again in {delay_s:g} s")
        self._restart_at = time.monotonic() + delay_s

    def _begin_stop(self, number: signal.Signals) -> None:
        """Pass a stop signal on, each time it comes; what has no process left ends at once."""
        if self._stop is None:
            self._stop = number
            self._restart_at = None
            self._outbox.stopping()
        if not self._generations() and self._status is None:
            self._status = exits.SIGNALLED + number
        self._end_all(self._policy.stop_signal if number == signal.SIGTERM else number)

    def _end_all(self, number: signal.Signals) -> None:
        for one in self._generations():
            self._end(one, number)

    def _end(self, generation: Generation, number: signal.Signals) -> None:
        generation.signal(number)
        if generation.kill_at is None:
            generation.kill_at = time.monotonic() + self._policy.stop_timeout_s

    def _abandon(self) -> None:
        """Leave no process behind when this one fails."""
        for one in self._generations():
            one.kill()
            os.waitpid(one.pid, 0)
            one.close()

    # --- what there is -------------------------------------------------------------------------------

    def _generations(self) -> list[Generation]:
        return [one for one in (self._serving, self._coming, self._leaving) if one is not None]

    def _forget(self, ended: Generation) -> str:
        for role in ("serving", "coming", "leaving"):
            if getattr(self, f"_{role}") is ended:
                setattr(self, f"_{role}", None)
                return role
        raise AssertionError(f"{ended.pid} is nobody's")

    def _deadlines(self) -> list[float | None]:
        coming = self._coming
        verdict = None if coming is None or coming.kill_at is not None else self._verdict_at(coming)
        return [self._restart_at, verdict, *(one.kill_at for one in self._generations())]

    def _verdict_at(self, coming: Generation) -> float:
        """Say when a program that was silent so far is ready, or too late."""
        patience = self._policy.ready_delay_s
        return coming.since + (self._policy.start_timeout_s if patience is None else patience)

    def _named(self, generation: Generation) -> str:
        return f"{self._program.words[0]} [{generation.pid}]"


def _ended_child() -> int | None:
    """Return a child that has ended and is still to be reaped: until then nobody else gets its number."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid
