"""What goes wrong while descriptors change hands."""

from __future__ import annotations

from socketd.errors.root import SocketdError


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
    """The socket is in use in a way that does not go with this call.

    It is out with a program in blocking mode, which it shares with us; or a tunnel or forward has its bytes.
    """

    code = "busy"

    def __init__(self, reference: str, syscall: str, *, is_flowing: bool = False) -> None:
        why = f"is out in blocking mode: {syscall} could stop the daemon"
        hint = "take it again without 'blocking', or give it back with existing=ok"
        if is_flowing:
            why = "is part of a tunnel or forward, which has its bytes"
            hint = "end that first: stop the forward, or hang up on the tunnel"
        super().__init__(f"socket {reference} {why}", symbol="EBUSY", syscall=syscall, hint=hint)
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
