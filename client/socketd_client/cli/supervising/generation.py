"""One started program, from fork to its end."""

from __future__ import annotations

import fcntl
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

from socketd_client.activation import FIRST
from socketd_client.cli import exits
from socketd_client.cli.failures import CommandError
from socketd_client.cli.supervising import arrivals
from socketd_client.cli.supervising.notify import Inbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from socketd_client.cli.activation import Program

_REPORT_MOST: Final = 4096  # PIPE_BUF: written in one piece


class Generation:
    """A running program.

    Attributes:
        pid: Its process, which leads a process group of its own: Ctrl-C at a terminal reaches it once,
            through us.
        inbox: Where it says that it is ready.
        since: When it was started, then when it became ready; seconds on the caller's clock.
        kill_at: When it is killed, once it was told to end.
    """

    def __init__(self, pid: int, inbox: Inbox, since: float) -> None:
        self.pid = pid
        self.inbox = inbox
        self.since = since
        self.kill_at: float | None = None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; it is not reaped yet, so the number is its own."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it and what it started; the group may not be there when it was only just forked."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        os.kill(self.pid, signal.SIGKILL)

    def end_rest(self) -> None:
        """Tell what the program left behind at its own end to end too: it has the sockets as well.

        The program must not be reaped yet, or the group's number may be somebody else's.
        """
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGTERM)

    def close(self) -> None:
        """Forget it, after its end."""
        self.inbox.close()


def start(program: Program, fds: Sequence[int], now: float) -> Generation:
    """Start the program with the sockets; returns when the kernel has executed it.

    Raises:
        CommandError: The kernel cannot run it.
    """
    inbox = Inbox()
    try:
        return Generation(_execute(program, fds, inbox.address), inbox, now)
    except BaseException:
        inbox.close()
        raise


def _execute(program: Program, fds: Sequence[int], notify: str) -> int:
    """Fork and execute; return the process, or raise what kept the child from it."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            pid = _fork(program, fds, notify, write_fd)
        finally:
            os.close(write_fd)
        failure = os.read(read_fd, _REPORT_MOST)  # ends with exec, which closes the child's end
    finally:
        os.close(read_fd)
    if failure:
        os.waitpid(pid, 0)
        status, _, message = failure.decode().partition(" ")
        raise CommandError(message, status=int(status))
    return pid


def _fork(program: Program, fds: Sequence[int], notify: str, report_fd: int) -> int:
    """Fork; a signal for the child comes after its exec, or while it has the default, but not in between."""
    parent = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, arrivals.HANDLED)
    try:
        pid = os.fork()
        if pid == 0:
            _become(program, fds, notify, report_fd, parent)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, arrivals.HANDLED)
    return pid


def _become(program: Program, fds: Sequence[int], notify: str, report_fd: int, parent: int) -> NoReturn:
    """Be the child; nothing of the parent's Python runs here, whatever happens."""
    try:
        # The report must not stand where the sockets go.
        report_fd = fcntl.fcntl(report_fd, fcntl.F_DUPFD_CLOEXEC, FIRST + len(fds))
        os.setpgid(0, 0)
        environ = {**os.environ, "NOTIFY_SOCKET": notify}
        if environ.get("WATCHDOG_PID") == str(parent):
            environ["WATCHDOG_PID"] = str(os.getpid())
        arrivals.forget_in_child()
        program.execute(fds, environ)
    except CommandError as error:
        os.write(report_fd, f"{error.status} {error}".encode())
    except BaseException as error:  # noqa: BLE001 - a second parent must not go on from here
        os.write(report_fd, f"{exits.CANNOT_EXEC} {error!r}".encode())
    os._exit(exits.CANNOT_EXEC)
