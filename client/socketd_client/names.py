"""The caller's names: which socket has one, and which is made again after a reboot."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Unpack
from urllib.parse import quote

from socketd_client.calls import Call
from socketd_client.problem import Problem, problem_from
from socketd_client.records import Owner
from socketd_client.wire import Record, decoded, listed

if TYPE_CHECKING:
    from socketd_client.exchange import Exchange
    from socketd_client.handle import Socket
    from socketd_client.sockets import Sockets
    from socketd_client.specification import SocketSpec


@dataclass(frozen=True, slots=True)
class NameInfo(Record):
    """A name, with a held socket, a kept specification, or both.

    Attributes:
        owner: Whose it is; root sees everybody's.
        persist: ``"boot"`` if the specification is kept, and the socket made again after a reboot.
        socket: The held socket's ``fd``; ``None`` while it could not be made again.
        failure: Why it could not.
        retry_at: When that is tried next.
    """

    name: str
    owner: Owner | None = field(default=None, metadata=decoded(Owner.from_json))
    persist: str | Literal[False] = False
    socket: int | None = None
    failure: Problem | None = field(default=None, metadata=decoded(problem_from))
    retry_at: datetime | None = field(default=None, metadata=decoded(datetime.fromisoformat))


class Names:
    """The names that this client's sockets have; as ``client.names``.

    Example::

        client.names.ensure("web", bind=("0.0.0.0", 8080), listen=1024, persist="boot")
        for one in client.names.list():
            print(one.name, one.persist, one.socket, one.failure)
        client.names.delete("web")
    """

    def __init__(self, exchange: Exchange, sockets: Sockets) -> None:
        self._exchange = exchange
        self._sockets = sockets

    def ensure(self, name: str, **spec: Unpack[SocketSpec]) -> Socket:
        """Return the socket of this name, made now if there is none; the same as ``sockets.ensure``."""
        return self._sockets.ensure(name, **spec)

    def get(self, name: str) -> NameInfo:
        """Tell what has the name.

        Raises:
            ApiError: Nothing has (status 404); somebody else's looks the same.
        """
        return NameInfo.from_json(self._exchange.json(Call("GET", _path(name))))

    def delete(self, name: str) -> None:
        """Close the socket of this name if it is held, and forget its specification.

        Raises:
            ApiError: Nothing has the name (status 404).
            ConnectionLostError: It may have been done. A daemon's successor is not asked again, since
                somebody may have used the name anew in between.
        """
        self._exchange.send(Call("DELETE", _path(name)))

    def list(self) -> list[NameInfo]:
        """List the names, those too whose socket could not be made again."""
        answer = self._exchange.json(Call("GET", "/v1/names"))
        return [NameInfo.from_json(one) for one in listed(answer, "names")]


def _path(name: str) -> str:
    return f"/v1/names/{quote(name, safe='')}"
