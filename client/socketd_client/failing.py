"""Which error it is when a request got no answer: what requests, urllib3 and ssl raised, turned into ours."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProtocolError, ReadTimeoutError

from socketd_client.errors import (
    ConnectError,
    ConnectionLostError,
    TransportError,
    TransportTimeoutError,
    connect_error,
)
from socketd_client.interruption import causes

if TYPE_CHECKING:
    from collections.abc import Mapping

# Of a connection that was there; any other error of TLS is of its beginning, before a request counts.
_CUT_OFF: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)

_HTTP_1_1: Final = 11
_NO_CONTENT: Final = 204


def check_head(status: int, headers: Mapping[str, str], version: int) -> None:
    """Refuse the head of an answer that ends early: ``http.client`` takes the end of the stream for its end.

    An answer would then be empty that is not, and an empty ``recv`` means that the peer has ended. Every
    answer of the daemon says how long its body is. (Were the number cut, the body would be missing.)

    Raises:
        ProtocolError: It says nothing of a body.
    """
    is_chunked = headers.get("Transfer-Encoding") == "chunked"
    has_length = headers.get("Content-Length", "").isdecimal()
    if not (is_chunked or has_length or status == _NO_CONTENT) and version == _HTTP_1_1:
        raise ProtocolError("the head of the answer is cut")


def transport_error(place: str, error: Exception) -> TransportError:
    """Make the error for a request to ``place`` that was not answered."""
    reason = _first_os_error(error)
    refused = _tls_error(error)
    if refused is not None:
        return ConnectError(f"no TLS with {place}: {_tls_fault(refused)}", reason=refused)
    for cause in causes(error):
        if isinstance(cause, (NewConnectionError, ConnectTimeoutError)):
            return connect_error(place, reason or OSError(str(cause)))
        if isinstance(cause, ReadTimeoutError):
            return TransportTimeoutError(f"socketd at {place} did not answer in time", reason=reason)
    said = reason or error
    return ConnectionLostError(f"the connection to {place} broke before the answer: {said}", reason=reason)


def _tls_error(error: Exception) -> ssl.SSLError | None:
    """Find what kept TLS from beginning; in TLS 1.3 a client hears of it only after its first request."""
    for cause in causes(error):
        # urllib3 puts it into its own error, and into no chain, when it comes while an answer is awaited.
        for found in (cause, *cause.args):
            if isinstance(found, ssl.SSLError) and not isinstance(found, _CUT_OFF):
                return found
    return None


def _tls_fault(error: ssl.SSLError) -> str:
    """Say what one side had against the other."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted: {error.verify_message}"
    return (error.reason or str(error)).lower().replace("_", " ")


def _first_os_error(error: BaseException) -> OSError | None:
    """Find the system call's own error; requests' are ``OSError`` too, so the innermost counts."""
    found = [cause for cause in causes(error) if isinstance(cause, OSError)]
    return found[-1] if found and not isinstance(found[-1], requests.RequestException) else None
