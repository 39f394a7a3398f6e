"""Who is asking, from where, and about which socket: one WSGI request turned into a ``Call``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from flask import current_app, g, request

from socketd.service import Call
from socketd.web.identity import identify

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.access.tokens import Tokens
    from socketd.core.seams import Waiter
    from socketd.service import Service

EXTENSION: Final = "socketd"
REQUEST_KEY: Final = "socketd.request_key"
"""Where ``web/idempotency.py`` notes in the environment what tells a keyed request from all others."""
_COOKIE_DIGITS: Final = 20  # of 2**64 - 1
_ENTITY_TAG: Final = re.compile(r'\s*(?:(W/)?"([^"]*)"|\*)\s*(?:,|$)')


@dataclass(slots=True)
class WebSettings:
    """Bounds and secrets of the HTTP side; a reload changes them.

    Attributes:
        tokens: What TCP callers may send.
        hosts: Names that ``Host`` may give, besides our own; in lower case, IPv6 in brackets.
        heartbeat_s: How often something is sent to who follows the events, so that proxies see it live.
    """

    max_timeout_s: float
    default_timeout_s: float
    max_body_bytes: int
    max_recv_bytes: int
    max_waits: int
    max_count: int
    tokens: Tokens
    version: str
    hosts: tuple[str, ...] = ()
    heartbeat_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Gauges:
    """What the process that serves can tell of itself.

    Attributes:
        waits: Requests that wait.
        audit_lost: Lines that the audit has lost; ``None`` while none is kept.
    """

    waits: Callable[[], int] = int
    audit_lost: Callable[[], int | None] = lambda: None


@dataclass(frozen=True, slots=True)
class House:
    """What the application was built with; every view finds it here.

    Attributes:
        started_at: In ``time.monotonic()`` seconds.
        answered: How many requests were answered, by status.
    """

    service: Service
    waiter_for: Callable[[dict[str, Any]], Waiter]
    settings: WebSettings
    started_at: float
    gauges: Gauges = field(default_factory=Gauges)
    answered: dict[int, int] = field(default_factory=dict)


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
        UnauthenticatedError: Over TCP without a token or a certificate.
        QuotaError: The caller has made too many requests of late.
    """
    environ = request.environ
    asked: Call | None = g.get("call")
    if asked is None:
        known = house()
        caller, guard = identify(environ, known.settings.tokens), known.service.guard
        guard.admit(caller)
        asked = g.call = Call(
            caller,
            guard.waiter(caller, known.waiter_for(environ)),
            guard,
            expected_cookies(environ.get("HTTP_IF_MATCH")),
            request_id=g.get("request_id"),
        )
    # A request with a key is looked at twice: before it is noted, and after.
    return asked if REQUEST_KEY not in environ else replace(asked, key=environ[REQUEST_KEY])


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
