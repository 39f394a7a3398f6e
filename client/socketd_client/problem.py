"""The body of a refusal (RFC 9457) as a record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http.client import responses
from typing import Any, Final

_SHOWN_AT_MOST: Final = 200


@dataclass(frozen=True, slots=True)
class Problem:
    """What the daemon said in refusing.

    Attributes:
        members: Fault texts by request member, when the request did not fit the schema.
        index: Which one of several, counted from 0, when a bulk call was refused.
        socket: The reference the call was about.
        retry_after_s: When to ask again, if the daemon said so.
        sent: How many bytes of a stream went before it was refused.
    """

    status: int
    title: str
    detail: str
    code: str = ""
    errno: str | None = None
    syscall: str | None = None
    hint: str | None = None
    socket: str | None = None
    index: int | None = None
    request_id: str | None = None
    retry_after_s: float | None = None
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sent: int | None = None


def read_problem(status: int, headers: Mapping[str, str], body: bytes) -> Problem:
    """Read a refusal, whoever wrote it: what is missing or malformed is filled from the status."""
    data = _loads(body) if "json" in headers.get("Content-Type", "") else {}
    found = problem_from(
        {**data, "status": status, "detail": _text(data, "detail") or _first_line(body, data)}
    )
    return replace(
        found,
        request_id=headers.get("X-Request-Id") or found.request_id,
        retry_after_s=_seconds(headers.get("Retry-After")),
    )


def problem_from(data: Mapping[str, Any]) -> Problem:
    """Read a problem that stands in another document, with the status it would have as an answer."""
    status, index, sent = data.get("status"), data.get("index"), data.get("sent")
    status = status if isinstance(status, int) else 0
    title = _text(data, "title") or responses.get(status, f"HTTP status {status}")
    return Problem(
        status=status,
        title=title,
        detail=_text(data, "detail") or title,
        code=_text(data, "code") or "",
        errno=_text(data, "errno"),
        syscall=_text(data, "syscall"),
        hint=_text(data, "hint"),
        socket=None if data.get("socket") is None else str(data["socket"]),
        index=index if isinstance(index, int) else None,
        request_id=_text(data, "instance"),
        members=_members(data.get("members")),
        sent=sent if isinstance(sent, int) else None,
    )


def _loads(body: bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(body)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _text(data: Mapping[str, Any], member: str) -> str | None:
    value = data.get(member)
    return value if isinstance(value, str) else None


def _first_line(body: bytes, data: Mapping[str, Any]) -> str:
    lines = [] if data else body[:_SHOWN_AT_MOST].decode("utf-8", "replace").splitlines()
    return lines[0].strip() if lines else ""


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def _members(value: object) -> dict[str, tuple[str, ...]]:
    if isinstance(value, Mapping):
        return {str(k): tuple(map(str, v)) if isinstance(v, list) else (str(v),) for k, v in value.items()}
    # Where a named socket differs, the members are just listed.
    return {str(name): () for name in value} if isinstance(value, list) else {}
