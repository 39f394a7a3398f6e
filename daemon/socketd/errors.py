"""What can go wrong, said by meaning: an exception tree that knows errnos and nothing of HTTP."""

from __future__ import annotations

import errno as _errno
import os
from typing import ClassVar

# Two names of one number on Linux; the first is what socket(2) and its kin document, Python prefers the other.
_SYMBOLS = {_errno.EOPNOTSUPP: "EOPNOTSUPP", _errno.EAGAIN: "EAGAIN", _errno.EDEADLK: "EDEADLK"}


class SocketdError(Exception):
    """Root of everything socketd refuses; never raised itself.

    Attributes:
        code: Stable public name of the meaning, in ``openapi.yaml``.
        symbol: The errno's name (``EADDRINUSE``), or a resolver's (``EAI_NONAME``).
        syscall: The system call that was refused, or that would have been made.
        hint: What the caller can do about it.
        subject: The reference (number or name) of the socket concerned.
        index: Which one of several, counted from 0, when a bulk call failed.
    """

    code: ClassVar[str] = "error"

    def __init__(
        self, message: str, *, symbol: str, syscall: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.symbol = symbol
        self.syscall = syscall
        self.hint = hint
        self.subject: str | None = None
        self.index: int | None = None

    @property
    def number(self) -> int | None:
        """The errno's number on this host; ``None`` for a name this host lacks."""
        return getattr(_errno, self.symbol, None)

    @property
    def title(self) -> str:
        """``strerror(3)`` of the errno."""
        return os.strerror(self.number) if self.number is not None else self.symbol


class KernelRefusedError(SocketdError):
    """A system call came back with an errno."""

    code = "kernel_refused"

    def __init__(self, error: OSError, syscall: str, *, hint: str | None = None) -> None:
        number = error.errno or 0
        symbol = _SYMBOLS.get(number) or _errno.errorcode.get(number, f"E{number}")
        super().__init__(f"{syscall}: {os.strerror(number)}", symbol=symbol, syscall=syscall, hint=hint)
        self._number = number

    @property
    def number(self) -> int:
        """The errno exactly as the kernel gave it."""
        return self._number


class InvalidRequestError(SocketdError):
    """The request is well-formed but asks for something that cannot be meant."""

    code = "invalid_request"

    def __init__(
        self, message: str, *, member: str | None = None, symbol: str = "EINVAL", hint: str | None = None
    ) -> None:
        super().__init__(message, symbol=symbol, hint=hint)
        self.member = member


class ResolveError(SocketdError):
    """``getaddrinfo(3)`` found no address; ``symbol`` is its own (``EAI_NONAME``)."""

    code = "cannot_resolve"

    def __init__(self, message: str, *, symbol: str, number: int, hint: str | None = None) -> None:
        super().__init__(message, symbol=symbol, syscall="getaddrinfo", hint=hint)
        self._number = number

    @property
    def number(self) -> int:
        """The resolver's own (negative) number."""
        return self._number

    @property
    def title(self) -> str:
        """The resolver's words."""
        return str(self)


class UnknownSocketError(SocketdError):
    """No held socket has this number or name, or it is none of the caller's business."""

    code = "unknown_socket"

    def __init__(self, reference: str) -> None:
        super().__init__(
            f"no held socket {reference!r}",
            symbol="EBADF",
            hint="GET /v1/sockets lists the sockets you hold; numbers are not reused, so this one is gone",
        )
        self.subject = reference


class ClosedMeanwhileError(SocketdError):
    """The socket was closed while this call was waiting on it."""

    code = "closed_meanwhile"

    def __init__(self, reference: str, syscall: str) -> None:
        super().__init__(f"socket {reference} was closed during {syscall}", symbol="EBADF", syscall=syscall)
        self.subject = reference


class UnknownDescriptorError(SocketdError):
    """The process has no descriptor of this number (of any kind)."""

    code = "unknown_descriptor"

    def __init__(self, fd: int) -> None:
        super().__init__(f"descriptor {fd} is not open in this process", symbol="EBADF")
        self.subject = str(fd)


class StaleError(SocketdError):
    """``If-Match`` names another socket than the one that has this number now."""

    code = "stale"

    def __init__(self, reference: str) -> None:
        super().__init__(
            f"socket {reference} is not the one your If-Match names",
            symbol="ESTALE",
            hint="read the socket again; its ETag is made of SO_COOKIE, which the kernel never reuses",
        )
        self.subject = reference


class NameTakenError(SocketdError):
    """Another held socket has this name."""

    code = "name_taken"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the name {name!r} is taken",
            symbol="EEXIST",
            hint="choose another name, close the socket that has it, or use PUT /v1/names/{name} to share it",
        )


class DiffersError(SocketdError):
    """A socket of that name exists with another specification."""

    code = "differs"

    def __init__(self, name: str, members: tuple[str, ...]) -> None:
        super().__init__(
            f"socket {name!r} exists, but differs in {', '.join(members)}",
            symbol="EEXIST",
            hint="close it first, or ask for what it is",
        )
        self.subject = name
        self.members = members


class BadStateError(SocketdError):
    """The call is legal, but not in the state this socket is in."""

    code = "bad_state"


class WouldBlockError(SocketdError):
    """Nothing is there and the caller asked not to wait (``timeout`` 0)."""

    code = "would_block"

    def __init__(self, syscall: str) -> None:
        super().__init__(
            f"{syscall} would block",
            symbol="EAGAIN",
            syscall=syscall,
            hint="ask again with a timeout above 0 to wait for it",
        )


class WaitTimeoutError(SocketdError):
    """The time the caller was ready to wait ran out; nothing was taken."""

    code = "timed_out"

    def __init__(self, syscall: str, timeout_s: float) -> None:
        super().__init__(
            f"{syscall}: nothing happened within {timeout_s:g} s",
            symbol="ETIMEDOUT",
            syscall=syscall,
            hint="nothing was taken from the socket; ask again, or with a larger timeout",
        )


class ShuttingDownError(SocketdError):
    """The daemon is going away; the wait was ended before anything was taken."""

    code = "shutting_down"

    def __init__(self) -> None:
        super().__init__("the daemon is shutting down", symbol="EINTR", hint="ask again once it is back")


class ClientGoneError(SocketdError):
    """Whoever asked has hung up; the wait was ended before anything was taken."""

    code = "client_gone"

    def __init__(self) -> None:
        super().__init__("the client hung up while waiting", symbol="ECANCELED")


class OutOfDescriptorsError(SocketdError):
    """No descriptor number is free, or none has rested long enough to be given again."""

    code = "out_of_descriptors"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"every descriptor number below {limit} is in use, or was until a moment ago",
            symbol="EMFILE",
            syscall="fcntl",
            hint="close sockets you no longer need, or raise LimitNOFILE= (RLIMIT_NOFILE) of the daemon",
        )


class TooManyWaitsError(SocketdError):
    """The daemon holds as many waiting requests as it is configured to."""

    code = "too_many_waits"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} requests are waiting already", symbol="EAGAIN", hint="ask again in a moment"
        )


class UnauthenticatedError(SocketdError):
    """The request does not say who makes it."""

    code = "unauthenticated"

    def __init__(self) -> None:
        super().__init__(
            "this endpoint asks for a bearer token",
            symbol="EACCES",
            hint="send 'Authorization: Bearer TOKEN'; the daemon prints the token when it starts",
        )


class NotPermittedError(SocketdError):
    """The caller is known, and may not do this."""

    code = "not_permitted"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, symbol="EPERM", hint=hint)


class NeedsUnixSocketError(SocketdError):
    """Descriptors travel over the daemon's Unix socket only."""

    code = "needs_unix_socket"

    def __init__(self) -> None:
        super().__init__(
            "descriptors cannot be passed over this connection",
            symbol="EOPNOTSUPP",
            syscall="sendmsg",
            hint="ask on the daemon's host, by HTTP/1.1 over its Unix socket; TCP carries bytes only",
        )


class NotReceivingError(SocketdError):
    """A release was asked for by a client that has not said that it receives descriptors."""

    code = "not_receiving"

    def __init__(self) -> None:
        super().__init__(
            "a release to a client that does not receive descriptors would lose the socket",
            symbol="EINVAL",
            hint="send 'Accept-Descriptors: yes' if you read with recvmsg; or take without release",
        )


class BusyError(SocketdError):
    """The socket is out with a program in blocking mode, which it shares with us."""

    code = "busy"

    def __init__(self, reference: str, syscall: str) -> None:
        super().__init__(
            f"socket {reference} is out in blocking mode: {syscall} could stop the daemon",
            symbol="EBUSY",
            syscall=syscall,
            hint="take it again without 'blocking', or give it back with existing=ok",
        )
        self.subject = reference


class AlreadyHeldError(SocketdError):
    """The descriptor that was given is a duplicate of a held socket.

    Args:
        reference: Of the held one; ``None`` if it is none of the caller's business.
    """

    code = "already_held"

    def __init__(self, reference: str | None) -> None:
        who = "another caller holds" if reference is None else f"socket {reference} is"
        super().__init__(
            f"{who} this very socket already (its cookie is the same)",
            symbol="EEXIST",
            hint="with existing=ok the held one is the answer, if it is yours",
        )
        self.subject = reference


class PeerStalledError(SocketdError):
    """The other side of a descriptor passing did nothing for too long; nothing was kept or released."""

    code = "peer_stalled"

    def __init__(self, syscall: str, waited_s: float) -> None:
        super().__init__(
            f"the client did nothing for {waited_s:g} s while descriptors were passed",
            symbol="ETIMEDOUT",
            syscall=syscall,
            hint="read and write without pauses until the answer has come",
        )
