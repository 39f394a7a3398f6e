"""All targets by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz import http_requests
from tests.fuzz.packets import PACKETS
from tests.fuzz.texts import TEXTS

if TYPE_CHECKING:
    from tests.fuzz.target import Target

HTTP = "http-request"
NAMES = (*TEXTS, *PACKETS, HTTP)


def find(name: str) -> Target:
    """Return a target; that of HTTP is made now, and holds sockets from then on."""
    return http_requests.target() if name == HTTP else (TEXTS | PACKETS)[name]
