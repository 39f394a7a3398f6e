"""What can go wrong, in two trees: the daemon gave no answer, or it answered with a refusal."""

from __future__ import annotations

import os
import socket
from errno import ENOENT
from typing import TYPE_CHECKING, Any, Final

from socketd_client import constants

if TYPE_CHECKING:
    from socketd_client.problem import Problem


TIMED_OUT: Final = "timed_out"
"""The code of a wait that ran out; the kernel's ETIMEDOUT has another."""


class SocketdError(Exception):
    """Root of everything this package raises; never raised itself."""


class TransportError(SocketdError, OSError):
    """The daemon gave no answer.

    It is an ``OSError``, since programs that talk to sockets expect one; ``errno`` stays ``None`` on purpose,
    because it would be read as the held socket's. ``reason`` has what this host's kernel said.
    """

    def __init__(self, message: str, *, reason: OSError | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class ConnectError(TransportError):
    """The daemon cannot be reached; the request was not sent."""


class TransportTimeoutError(TransportError):
    """The daemon did not answer in the time the call asked for, plus the client's own ``timeout_s``.

    Not a ``TimeoutError``: a loop that takes that for "no data yet" must not spin on a daemon that hangs.
    """


class ConnectionLostError(TransportError):
    """The connection broke before the answer was complete; the request may have been carried out."""


class BadAnswerError(TransportError):
    """What answered does not speak this API."""


class ApiError(SocketdError):
    """The daemon answered with a refusal.

    Most refusals come from a kernel and have an errno; those are also the ``OSError`` that Python would have
    raised for a local socket::

        try:
            sock.connect(("127.0.0.1", 9))
        except ConnectionRefusedError as error:   # an ApiError just as well
            print(error.hint)

    Attributes:
        problem: The whole answer as a record.
        status: The HTTP status.
        code: Stable name of the meaning (``kernel_refused``, ``timed_out``, ``stale``…).
        symbol: The errno's name (``EADDRINUSE``), or a resolver's (``EAI_NONAME``).
        number: The errno as *this* platform numbers it; ``None`` where it has none of that name.
        syscall: The system call that was refused.
        detail: The daemon's words.
        hint: What to do about it.
        members: What is wrong with which member of the request.
        request_id: Finds the call in the daemon's log.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.status = problem.status
        self.code = problem.code
        self.symbol = problem.errno
        self.number = constants.errno_number(problem.errno)
        self.syscall = problem.syscall
        self.detail = problem.detail
        self.hint = problem.hint
        self.members = problem.members
        self.request_id = problem.request_id
        if problem.code == TIMED_OUT:
            super().__init__("timed out")  # as of a local socket: errno is for the kernel's own ETIMEDOUT
        elif isinstance(self, OSError):
            super().__init__(self.number, problem.title)
        else:
            super().__init__(problem.detail)

    def __str__(self) -> str:
        """Say what was refused, why, and what to do."""
        # Programs look for these words.
        text = f"timed out: {self.detail}" if self.code == TIMED_OUT else self.detail
        if self.symbol and self.symbol not in text:
            text += f" [{self.symbol}]"
        for member, faults in self.members.items():
            told = f"{member}: {' '.join(faults)}"
            text += "" if told in text else f"; {told}"
        return f"{text} (hint: {self.hint})" if self.hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the problem: ``OSError`` would pickle errno and text, and lose the rest."""
        return type(self), (self.problem,)


class KernelError(ApiError, OSError):
    """A refusal with an errno that Python has no class of its own for."""

    @property  # type: ignore[misc]  # it is read-only
    def __class__(self) -> Any:
        """Python's class for the errno, by which programs tell errors apart: redis-py has a table of them."""
        return next(kind for kind in type(self).__mro__ if kind.__module__ == OSError.__module__)


class ResolveError(ApiError, socket.gaierror):
    """``getaddrinfo`` found no address."""


class ApiBlockingIOError(KernelError, BlockingIOError):
    """EAGAIN, EALREADY, EINPROGRESS: it would have to wait."""


class ApiBrokenPipeError(KernelError, BrokenPipeError):
    """EPIPE, ESHUTDOWN: the sending side is shut."""


class ApiChildProcessError(KernelError, ChildProcessError):
    """ECHILD; no socket call gives it, but the table is Python's."""


class ApiConnectionAbortedError(KernelError, ConnectionAbortedError):
    """ECONNABORTED."""


class ApiConnectionRefusedError(KernelError, ConnectionRefusedError):
    """ECONNREFUSED: nobody listens there."""


class ApiConnectionResetError(KernelError, ConnectionResetError):
    """ECONNRESET: the peer dropped the connection."""


class ApiFileExistsError(KernelError, FileExistsError):
    """EEXIST: the name is taken."""


class ApiFileNotFoundError(KernelError, FileNotFoundError):
    """ENOENT: no such Unix socket path."""


class ApiInterruptedError(KernelError, InterruptedError):
    """EINTR: the daemon ended the wait, for it is going down."""


class ApiIsADirectoryError(KernelError, IsADirectoryError):
    """EISDIR."""


class ApiNotADirectoryError(KernelError, NotADirectoryError):
    """ENOTDIR: part of a Unix socket path is no directory."""


class ApiPermissionError(KernelError, PermissionError):
    """EACCES, EPERM: not allowed."""


class ApiProcessLookupError(KernelError, ProcessLookupError):
    """ESRCH: no such process."""


class ApiTimeoutError(KernelError, TimeoutError):
    """The wait ran out (code ``timed_out``, no ``errno``), or the connection did (ETIMEDOUT)."""


# Python's class for an errno, to ours.
_CLASSES: Final[dict[type[OSError], type[ApiError]]] = {
    OSError: KernelError,
    BlockingIOError: ApiBlockingIOError,
    BrokenPipeError: ApiBrokenPipeError,
    ChildProcessError: ApiChildProcessError,
    ConnectionAbortedError: ApiConnectionAbortedError,
    ConnectionRefusedError: ApiConnectionRefusedError,
    ConnectionResetError: ApiConnectionResetError,
    FileExistsError: ApiFileExistsError,
    FileNotFoundError: ApiFileNotFoundError,
    InterruptedError: ApiInterruptedError,
    IsADirectoryError: ApiIsADirectoryError,
    NotADirectoryError: ApiNotADirectoryError,
    PermissionError: ApiPermissionError,
    ProcessLookupError: ApiProcessLookupError,
    TimeoutError: ApiTimeoutError,
}


def api_error(problem: Problem) -> ApiError:
    """Build the error of the right class for an answer.

    The class is the one Python's own ``OSError(errno, text)`` turns into, so the table is never out of step.
    """
    number = constants.errno_number(problem.errno)
    if number is None:
        return ApiError(problem)
    if problem.errno and problem.errno.startswith("EAI_"):
        return ResolveError(problem)
    return _CLASSES.get(type(OSError(number, "")), KernelError)(problem)


def connect_error(place: str, reason: OSError) -> ConnectError:
    """Word a failure to reach the daemon at ``place``."""
    said = os.strerror(reason.errno) if reason.errno and reason.errno > 0 else str(reason)
    cure = (
        "; is it running there?"
        if reason.errno == ENOENT or isinstance(reason, ConnectionRefusedError)
        else ""
    )
    return ConnectError(f"no socketd at {place}: {said}{cure}", reason=reason)
