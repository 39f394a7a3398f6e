"""How a wait ends without what was waited for."""

from __future__ import annotations

from socketd.errors.root import SocketdError


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


class TooManyFollowersError(SocketdError):
    """As many readers follow the journal of changes as may, or as one caller may have."""

    code = "too_many_followers"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} readers follow the events already",
            symbol="EAGAIN",
            hint="end one of them, or ask with timeout=0 and the number of the last event in after",
        )


class TooManyWaitsError(SocketdError):
    """The daemon holds as many waiting requests as it is configured to."""

    code = "too_many_waits"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} requests are waiting already", symbol="EAGAIN", hint="ask again in a moment"
        )


class SlowRequestError(SocketdError):
    """The request did not arrive in time."""

    code = "slow_request"

    def __init__(self, timeout_s: float) -> None:
        super().__init__(
            f"the request did not arrive within {timeout_s:g} s",
            symbol="ETIMEDOUT",
            syscall="recv",
            hint="send it without pauses; request_timeout_s bounds how long that may take",
        )


class TooManyConnectionsError(SocketdError):
    """The daemon has as many HTTP connections as it can, and none of them is idle."""

    code = "too_many_connections"

    def __init__(self) -> None:
        super().__init__(
            "no more connections can be served, and each of them is in use",
            symbol="EMFILE",
            syscall="accept",
            hint="ask again in a moment; max_connections and LimitNOFILE= (RLIMIT_NOFILE) bound them",
        )


class UploadInterruptedError(SocketdError):
    """The daemon is going away in the middle of an upload; it sends no byte of that any more."""

    code = "upload_interrupted"

    def __init__(self) -> None:
        super().__init__(
            "the daemon is shutting down",
            symbol="EINTR",
            hint="once it is back, go on behind what was sent, with a new Idempotency-Key",
        )
