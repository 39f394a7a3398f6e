"""A daemon that goes away and comes back, played by the stand-in: one act for each call."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from socketd_client import Client, Socket
from tests.client.http_stand_in import SERVICE, Reply, Seen, serving, socket_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SAME = SERVICE
SUCCESSOR = {**SAME, "uptime_s": 0.0, "keeper": "up"}
LEAVING = Reply(
    {"title": "Interrupted", "status": 503, "code": "shutting_down", "errno": "EINTR"},
    503,
    {"Content-Type": "application/problem+json", "Retry-After": "0"},
)


OTHER = Reply(
    {"title": "Stale", "status": 412, "code": "other_instance", "errno": "ESTALE"},
    412,
    {"Content-Type": "application/problem+json"},
)


class Play:
    """Answers each call to the API with the next act, the last one again and again; ``GET /v1/`` apart.

    It names itself, and refuses what is for another. Where the service is a successor, each ``None`` among
    the acts is the end of one daemon. So is each ``OTHER``, which its successor says.

    Attributes:
        calls: Those that it did, or broke off.
        refused: Those that were for another.
    """

    def __init__(self, service: dict[str, Any], *acts: Reply | Callable[[Seen], Reply | None] | None) -> None:
        self.service = Reply(service)
        self.acts = list(acts)
        self.calls: list[Seen] = []
        self.refused: list[Seen] = []
        self.ended = 0

    def __call__(self, seen: Seen) -> Reply | None:
        meant = seen.headers.get("Socketd-Instance", self.instance)
        reply = OTHER if meant != self.instance else self._reply(seen)
        if reply is OTHER:
            self.refused.append(seen)
        named = None if reply is None else replace(reply, headers={**reply.headers, **self._name()})
        if reply is None and not self.service.body["uptime_s"]:
            self.ended += 1
        return named

    @property
    def instance(self) -> str:
        """The daemon that plays now."""
        return f"daemon-{self.ended}"

    def _name(self) -> dict[str, str]:
        return {"Socketd-Instance": self.instance}

    def _reply(self, seen: Seen) -> Reply | None:
        if seen.path == "/v1/":
            return self.service
        if seen.method == "GET" and not seen.path.endswith("/64"):
            return Reply(socket_json())
        self.calls.append(seen)
        act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
        if act is OTHER:
            self.ended += 1
        return act(seen) if callable(act) else act

    @property
    def keys(self) -> list[str | None]:
        return [seen.headers.get("Idempotency-Key") for seen in self.calls]


def anything(seen: Seen) -> Reply:
    """Answer well, whatever was asked."""
    if seen.path.endswith("/options/SO_KEEPALIVE"):
        return Reply({"name": "SO_KEEPALIVE", "level": 1, "number": 9, "type": "bool"})
    one = socket_json()
    return Reply({**one, "sockets": [one, one], "ready": [], "sent": 1, "messages": [{"base64": ""}]})


def held_by(client: Client) -> Socket:
    """Get a handle without a call that counts."""
    return client.sockets.get("held")


@contextlib.contextmanager
def playing(play: Callable[[Seen], Reply | None], path: Path | None, **options: Any) -> Iterator[Client]:
    """Play on a Unix socket, or on loopback without a path, for the client that is given."""
    with serving(play, path) as server, Client(server.url, **options) as client:
        yield client
