"""Who is asking, from where, and about which socket: one WSGI request turned into a ``Call``."""

from __future__ import annotations

import hmac
import os
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from flask import current_app, request

from socketd.access.caller import Caller
from socketd.errors import UnauthenticatedError
from socketd.kernel import ucred
from socketd.service import Call

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.types import WSGIEnvironment

    from socketd.core.seams import Waiter
    from socketd.service import Service

EXTENSION: Final = "socketd"
_COOKIE_DIGITS: Final = 20  # of 2**64 - 1
_ENTITY_TAG: Final = re.compile(r'\s*(?:(W/)?"([^"]*)"|\*)\s*(?:,|$)')


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Bounds and secrets of the HTTP side.

    Attributes:
        token: What TCP callers send; ``None`` refuses them all.
    """

    max_timeout_s: float
    default_timeout_s: float
    max_body_bytes: int
    max_recv_bytes: int
    max_waits: int
    max_count: int
    token: str | None
    version: str


@dataclass(frozen=True, slots=True)
class House:
    """What the application was built with; every view finds it here.

    Attributes:
        started_at: In ``time.monotonic()`` seconds.
    """

    service: Service
    waiter_for: Callable[[dict[str, Any]], Waiter]
    settings: WebSettings
    started_at: float


def house() -> House:
    """Return what the running application was built with."""
    found: House = current_app.extensions[EXTENSION]
    return found


def service() -> Service:
    """Return the door inward."""
    return house().service


def call() -> Call:
    """Say who asks, how they wait and which socket they mean.

    Raises:
        UnauthenticatedError: Over TCP without the token.
    """
    environ, known = request.environ, house()
    return Call(
        identify(environ, known.settings.token),
        known.waiter_for(environ),
        expected_cookies(environ.get("HTTP_IF_MATCH")),
    )


def identify(environ: WSGIEnvironment, token: str | None) -> Caller:
    """Tell who is at the other end, by the kernel's word or by a token's.

    Raises:
        UnauthenticatedError: Neither.
    """
    connection = environ["gunicorn.socket"]
    if connection.family == socket.AF_UNIX:
        peer = ucred.peer(connection.fileno())
        return Caller(peer.uid, peer.gid, peer.pid, "unix")
    scheme, _, given = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if token is None or scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), token.encode()):
        raise UnauthenticatedError
    return Caller(os.getuid(), os.getgid(), None, "tcp")


def expected_cookies(header: str | None) -> frozenset[int] | None:
    """Read ``If-Match`` (RFC 9110, 13.1.1); ``None`` when it is absent or ``*``.

    A tag that is weak or not ours matches nothing, so the set may come out empty.
    """
    if header is None or header.strip() == "*":
        return None
    tags = [tag for weak, tag in _ENTITY_TAG.findall(header) if not weak]
    return frozenset(
        int(tag) for tag in tags if tag.isascii() and tag.isdecimal() and len(tag) <= _COOKIE_DIGITS
    )
