"""Processes of ours: started in a group of their own, with descriptors at agreed numbers; ended; reaped."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from socketd.runtime.supervising.prctl import die_with_parent
from socketd.runtime.supervising.signals import HEARD
from socketd.runtime.systemd import LISTEN_FDS_START

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    NamedDescriptor = tuple[str, int]

EXIT_NOT_STARTED = 127  # what a shell says of a command that it cannot run
EXIT_OF_SIGNAL = 128  # and of one that a signal ended: this and the signal's number


@dataclass(frozen=True, slots=True)
class Program:
    """What is started, and started again.

    Attributes:
        name: For the log.
        command: An absolute path, and arguments.
        environ: All of the environment, but for what tells of its descriptors and of its supervisor.
        death_signal: What the kernel sends it when we die.
    """

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    death_signal: signal.Signals


def spawn(program: Program, environ: Mapping[str, str], descriptors: Sequence[NamedDescriptor]) -> int:
    """Start ``program`` as the leader of a process group; return its process id, which is the group's too.

    By fork and exec of our own: LISTEN_PID has to be the id of the process that it is given to, and
    ``subprocess`` makes the environment before it forks.

    Args:
        program: What to start.
        environ: Added to the program's own.
        descriptors: What it finds from descriptor 3 on; they stay ours. All others are close-on-exec.
    """
    parent = os.getpid()
    # Until the child has no handlers: one would write to the pipe that our own loop reads.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    try:
        pid = os.fork()
        if pid == 0:
            _become(program, environ, descriptors, parent)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    with suppress(OSError):  # EACCES, ESRCH: it has done so itself already. Both do: neither may be first
        os.setpgid(pid, pid)
    return pid


def kill_group(group: int) -> None:
    """End every process of a group at once."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def is_group_empty(group: int) -> bool:
    """Whether no process of a group is left that has not been reaped."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):  # EPERM: the number is a stranger's by now
        return True
    return False


def reap() -> Iterator[tuple[int, int]]:
    """Yield process id and exit status of each child that has ended, orphans that we adopted included.

    The id is free for another process only when the loop's body is through. A status is as a shell has it.
    """
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None:
            return
        is_exit = ended.si_code == os.CLD_EXITED
        yield ended.si_pid, ended.si_status if is_exit else EXIT_OF_SIGNAL + ended.si_status
        os.waitid(os.P_PID, ended.si_pid, os.WEXITED)


def describe(status: int) -> str:
    """Return how a process ended, for people."""
    try:
        return f"ended by {signal.Signals(status - EXIT_OF_SIGNAL).name}"
    except ValueError:
        return f"ended with status {status}"


def _become(
    program: Program, environ: Mapping[str, str], descriptors: Sequence[NamedDescriptor], parent: int
) -> NoReturn:
    """Turn the forked child into ``program``; never returns to the code of the parent."""
    try:
        os.setpgid(0, 0)
        die_with_parent(program.death_signal)
        if os.getppid() != parent:
            os._exit(EXIT_NOT_STARTED)
        given = {**program.environ, **environ}
        if descriptors:
            names = ":".join(name for name, _ in descriptors)
            given |= {
                "LISTEN_PID": str(os.getpid()),
                "LISTEN_FDS": str(len(descriptors)),
                "LISTEN_FDNAMES": names,
            }
        _reset_signals()
        _place([fd for _, fd in descriptors])
        os.execve(program.command[0], program.command, given)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.stderr.write(f"socketd: {program.name}: {program.command[0]}: {error.strerror}\n")
    finally:
        os._exit(EXIT_NOT_STARTED)


def _reset_signals() -> None:
    for number in (*HEARD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    # Its group is not the terminal's own: after `stty tostop` its first log line would stop it.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _place(fds: Sequence[int]) -> None:
    """Put nothing at 0, so that nobody reads our terminal, and ``fds`` at 3 and up."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    above = LISTEN_FDS_START + len(fds)  # first out of the way: one may sit at another's number
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in fds]
    for number, fd in enumerate(moved, LISTEN_FDS_START):
        os.dup2(fd, number)
