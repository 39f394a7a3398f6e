"""Requests that cannot be meant, or are not this caller's to make."""

from __future__ import annotations

from socketd.errors.root import SocketdError


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


class BadStateError(SocketdError):
    """The call is legal, but not in the state this socket is in."""

    code = "bad_state"
