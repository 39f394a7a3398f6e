"""What goes wrong with specifications on disk."""

from __future__ import annotations

from socketd.errors.root import KernelRefusedError, SocketdError


class NotSavedError(KernelRefusedError):
    """The specification of a socket could not be written, or taken back; nothing has changed."""

    code = "not_saved"

    def __init__(self, error: OSError, syscall: str, path: str) -> None:
        super().__init__(
            error,
            syscall,
            hint=f"{path}: state_directory has to be a folder that this daemon, and no other, may write to; "
            "all but persist: boot works without",
        )


class UnreadableSpecificationError(SocketdError):
    """The file of a specification is not one that this daemon can read; it is left as it is."""

    code = "unreadable_specification"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            f"{path}: {why}",
            symbol="EINVAL",
            hint="start the version that wrote it, or have root DELETE /v1/names/{name}, and declare it anew",
        )
