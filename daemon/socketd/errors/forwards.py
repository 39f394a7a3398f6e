"""What goes wrong with forwards."""

from __future__ import annotations

from socketd.errors.root import SocketdError


class UnknownForwardError(SocketdError):
    """No forward has this id, or it is none of the caller's business."""

    code = "unknown_forward"

    def __init__(self, identifier: str) -> None:
        super().__init__(
            f"no forward {identifier[:80]!r}",
            symbol="ENOENT",
            hint="GET /v1/forwards lists yours; one that has ended is forgotten after ten minutes, and none "
            "outlives the daemon",
        )


class TooManyForwardsError(SocketdError):
    """As many forwards run as the daemon's descriptors are enough for."""

    code = "too_many_forwards"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} forwards run already",
            symbol="EMFILE",
            hint="stop one of them, or raise LimitNOFILE= (RLIMIT_NOFILE) of the daemon: each has duplicates "
            "of both sockets, and pipes",
        )
