"""Which socket: unknown, gone, another, or a name or number that is not to be had."""

from __future__ import annotations

from socketd.errors.root import SocketdError


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
