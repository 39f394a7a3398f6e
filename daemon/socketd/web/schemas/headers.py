"""Headers of requests and answers, as they stand in openapi.yaml."""

from __future__ import annotations

from typing import Any, Final

_TEXT: Final = {"type": "string"}

IF_MATCH: Final[dict[str, Any]] = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": _TEXT,
    "description": "The ETag of the socket that is meant; 412 if the number is another's now.",
}
ONE_SOCKET: Final[dict[str, Any]] = {
    "ETag": {"description": "The socket's cookie, quoted; for If-Match.", "schema": _TEXT},
}
"""Of an answer that is one socket."""
NEW_SOCKET: Final[dict[str, Any]] = {
    **ONE_SOCKET,
    "Location": {"description": "Where the new socket is.", "schema": _TEXT},
}
"""Of an answer that is one socket, made by the request."""
NEW_FORWARD: Final[dict[str, Any]] = {
    "Location": {"description": "Where the new forward is.", "schema": _TEXT},
}
RECEIVED: Final[dict[str, Any]] = {
    "Socket-Eof": {
        "description": "Of bytes: whether the peer has ended its direction.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
    "Socket-From": {
        "description": "Of bytes: who sent them, as text, if the family tells; escaped where not ASCII.",
        "schema": _TEXT,
    },
    "Socket-Flags": {
        "description": "Of bytes: the flags that the kernel returned, comma-separated, if any.",
        "schema": _TEXT,
    },
    "Socket-Length": {
        "description": "Of bytes: how many the message had; more than the body's if it was cut.",
        "schema": {"type": "integer"},
    },
}
NEXT_PAGE: Final[dict[str, Any]] = {
    "Link": {"description": 'The next page, as rel="next" (RFC 8288), if there is one.', "schema": _TEXT},
}
