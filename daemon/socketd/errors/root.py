"""The root of the tree, and what the kernel itself refuses."""

from __future__ import annotations

import errno as _errno
import os
from typing import ClassVar

# Two names of one number on Linux; the first is what socket(2) documents, Python prefers the other.
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
        is_noted: The journal of changes has it.
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
        self.is_noted = False

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
