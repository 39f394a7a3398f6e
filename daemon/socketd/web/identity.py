"""Who is at the other end of a connection: by the kernel's word, a token's, or a client certificate's."""

from __future__ import annotations

import os
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, Final

from socketd.access.caller import Caller, Owner
from socketd.core.owner import is_name
from socketd.errors import UnauthenticatedError
from socketd.kernel import ucred
from socketd.web import subprotocols

if TYPE_CHECKING:
    from collections.abc import Mapping
    from wsgiref.types import WSGIEnvironment

    from socketd.access.tokens import Tokens

_ALTERNATIVES: Final = ("DNS", "URI", "email")
"""Kinds of subjectAltName that name a caller, the first one first."""


def identify(environ: WSGIEnvironment, tokens: Tokens) -> Caller:
    """Tell who makes a request; a token that is sent counts more than a certificate that is shown.

    Raises:
        UnauthenticatedError: Nobody vouches for anybody.
    """
    connection = environ["gunicorn.socket"]
    if connection.family == socket.AF_UNIX:
        peer = ucred.peer(connection.fileno())
        groups = frozenset((peer.gid, *ucred.peer_groups(connection.fileno())))
        return Caller(Owner(peer.uid), peer.gid, groups, peer.pid, "unix")
    authorization = environ.get("HTTP_AUTHORIZATION") or subprotocols.authorization(environ)
    if authorization is not None:
        return _by_token(authorization, tokens)
    # Only a connection with TLS has any.
    certificate = connection.getpeercert() if hasattr(connection, "getpeercert") else None
    if not certificate:
        raise UnauthenticatedError
    return Caller(Owner(certificate=_named(certificate)), None, frozenset(), None, "tcp")


def _by_token(authorization: str, tokens: Tokens) -> Caller:
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise UnauthenticatedError
    token = tokens.find(given)
    if token is None:
        raise UnauthenticatedError("there is no such token", hint="ask the operator for one: socketd token")
    if token.expires is not None and token.expires <= time.time():
        raise UnauthenticatedError(
            "the token has expired", hint="ask the operator for another: socketd token"
        )
    if token.owner.uid is None:
        return Caller(token.owner, None, frozenset(), None, "tcp")
    return Caller(token.owner, os.getgid(), frozenset((os.getgid(), *os.getgroups())), None, "tcp")


def _named(certificate: Mapping[str, Any]) -> str:
    """Return whose a certificate is, which TLS has verified: the common name, else an alternative one.

    Raises:
        UnauthenticatedError: It names nobody, or several; or it has expired on this connection.
    """
    if ssl.cert_time_to_seconds(certificate["notAfter"]) <= time.time():
        raise UnauthenticatedError("the client certificate has expired", hint="connect with a newer one")
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    if not names:
        alternatives = certificate.get("subjectAltName", ())
        found = [[value for key, value in alternatives if key == kind] for kind in _ALTERNATIVES]
        names = next(filter(None, found), [])[:1]
    if len(names) != 1 or not is_name(names[0]):
        raise UnauthenticatedError(
            "the client certificate names nobody", hint="one common name, or else an alternative name"
        )
    return str(names[0])
