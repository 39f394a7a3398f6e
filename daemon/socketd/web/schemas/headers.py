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
INSTANCE: Final[dict[str, Any]] = {
    "name": "Socketd-Instance",
    "in": "header",
    "required": False,
    "schema": _TEXT,
    "description": "The daemon process that the request is for, as its answers name it; else 412.",
}
REQUEST_ID: Final[dict[str, Any]] = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    "description": "What to call this request in the answer and in the log; else the daemon makes it up.",
}
IDEMPOTENCY_KEY: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "description": "Names the request: a repeat is answered as the first one was, and not done again.",
}
EVERY_ANSWER: Final[dict[str, Any]] = {
    "Socketd-Instance": {
        "description": "A name that the daemon process made up when it started.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    },
    "X-Request-Id": {"description": "The request's id, as the log has it.", "schema": _TEXT},
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
