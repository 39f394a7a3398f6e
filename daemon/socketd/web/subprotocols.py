"""WebSocket subprotocols: ours, and the one by which a page sends its token, having no other way.

A page in a browser cannot set headers of a WebSocket's handshake but this. Kubernetes has its tokens so.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from wsgiref.types import WSGIEnvironment

OURS: Final = "socketd.v1"
_BEARER: Final = "socketd.bearer."


def chosen(offered: Sequence[str]) -> str | None:
    """Choose what is answered: ours, and never the one with the token, which would show it."""
    return OURS if OURS in offered else None


def authorization(environ: WSGIEnvironment) -> str | None:
    """Write the token that a handshake offers as the value of ``Authorization``; ``None`` without one."""
    if environ.get("HTTP_UPGRADE", "").lower() != "websocket":
        return None
    offered = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(",")
    for each in map(str.strip, offered):
        if each.startswith(_BEARER):
            return f"Bearer {_decoded(each.removeprefix(_BEARER))}"
    return None


def _decoded(text: str) -> str:
    """Read base64url, with or without padding; what is none is no token either."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
