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

    def __init__(
        self,
        message: str = "this address asks for a bearer token, or over TLS for a client certificate",
        *,
        hint: str = "send 'Authorization: Bearer TOKEN'; docs/operations.md says where tokens come from",
    ) -> None:
        super().__init__(message, symbol="EACCES", hint=hint)


class NotPermittedError(SocketdError):
    """The caller is known, and may not do this."""

    code = "not_permitted"

    def __init__(self, message: str, *, symbol: str = "EPERM", hint: str | None = None) -> None:
        super().__init__(message, symbol=symbol, hint=hint)


class QuotaError(SocketdError):
    """The caller, or all callers together, have as much as the policy lets them have at a time.

    Args:
        message: What there is too much of.
        retry_after_s: When it is worth while to ask again.
    """

    code = "quota_exceeded"

    def __init__(self, message: str, *, retry_after_s: int = 1, hint: str | None = None) -> None:
        super().__init__(message, symbol="EDQUOT", hint=hint)
        self.retry_after_s = retry_after_s


class BadStateError(SocketdError):
    """The call is legal, but not in the state this socket is in."""

    code = "bad_state"


class UploadOffsetError(SocketdError):
    """An upload goes on behind where it is: the bytes in between have not come."""

    code = "upload_offset"

    def __init__(self, start: int, position: int) -> None:
        super().__init__(
            f"these bytes begin at {start} of the upload, and {position} have been sent",
            symbol="EINVAL",
            hint="go on at the answer's Upload-Offset; 0 of an upload that was never seen, or is forgotten",
        )
        self.position = position
