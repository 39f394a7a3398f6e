"""What went wrong, told on stderr in one line and a hint, and as an exit status."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, Final

from socketd_client.cli import exits

if TYPE_CHECKING:
    from socketd_client.errors import ApiError

_TIMED_OUT_CODE: Final = "timed_out"
_FOR_A_SHELL: Final = ("GET /v1/sockets", "socketctl ls")


class CommandError(Exception):
    """A command cannot go on.

    Args:
        message: One line, without the program's name.
        hint: What to do about it.
        status: What ``socketctl`` exits with.
    """

    def __init__(self, message: str, *, hint: str | None = None, status: int = exits.REFUSED) -> None:
        super().__init__(message)
        self.hint = hint
        self.status = status


class LostError(CommandError):
    """The connection broke before the answer; the request may have been carried out."""


def complain(message: str, hint: str | None = None) -> None:
    """Write a message as every command of the shell does."""
    lines = [f"socketctl: {message}", *([f"  hint: {hint}"] if hint else [])]
    sys.stderr.write("\n".join(lines) + "\n")


def described(error: Exception, subject: str | None = None) -> CommandError | None:
    """Word an exception for a person at a shell; ``None`` for a fault of ours, which is not to be hidden."""
    if isinstance(error, CommandError):
        return error
    from socketd_client.errors import ApiError, TransportError  # noqa: PLC0415 - only when something failed

    if isinstance(error, ApiError):
        return _refused(error, subject)
    if isinstance(error, TransportError):
        return CommandError(str(error))
    if isinstance(error, TimeoutError):
        return CommandError(_about(subject, "the time is over"), status=exits.TIMED_OUT)
    if isinstance(error, OSError):
        return CommandError(_about(error.filename or subject, errno_text(error)))
    return CommandError(str(error)) if isinstance(error, ValueError) else None


def told(error: Exception, subject: str | None = None) -> int:
    """Complain about it; return the exit status. A fault of ours is raised again."""
    failure = described(error, subject)
    if failure is None:
        raise error
    complain(str(failure), failure.hint)
    return failure.status


def errno_text(error: OSError) -> str:
    """Write a system call's error as ``Address already in use (EADDRINUSE)``."""
    if error.errno is None:
        return str(error)
    symbol = errno.errorcode.get(error.errno, str(error.errno))
    return f"{os.strerror(error.errno)} ({symbol})"


def _refused(error: ApiError, subject: str | None) -> CommandError:
    problem = error.problem
    said = f"{problem.syscall}: {problem.title}" if problem.syscall else problem.detail
    if problem.errno:
        said += f" ({problem.errno})"
    told = [(name, faults) for name, faults in problem.members.items() if name not in problem.detail]
    for member, faults in told:
        said += f"; {member}{': ' if faults else ''}{' '.join(faults)}"
    hint = problem.hint and problem.hint.replace(*_FOR_A_SHELL)
    status = exits.TIMED_OUT if problem.code == _TIMED_OUT_CODE else exits.REFUSED
    return CommandError(_about(subject or problem.socket, said), hint=hint, status=status)


def _about(subject: str | None, said: str) -> str:
    """Begin a message with the socket, unless it is in it already."""
    return said if not subject or repr(subject) in said else f"{subject}: {said}"
