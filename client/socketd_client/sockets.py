"""The collection of held sockets: make, find, list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack
from urllib.parse import quote

from socketd_client import constants
from socketd_client.calls import Call
from socketd_client.handle import Socket
from socketd_client.records import SocketInfo
from socketd_client.specification import SocketSpec, spec_json
from socketd_client.wire import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from socketd_client.exchange import Exchange

# What the daemon waits for a connect within create when the specification says nothing.
_CONNECT_WAIT_S: Final = 30.0


class ListFilter(TypedDict, total=False):
    """What to list; each member narrows.

    ``owner`` is a uid, ``port`` the local one, ``limit`` how many to fetch per request.
    """

    family: int | str | None
    type: int | str | None
    state: str | None
    name: str | None
    port: int | None
    owner: int | None
    limit: int | None


class Sockets:
    """The sockets this client may see; as ``client.sockets``.

    Example::

        web = client.sockets.create(name="web", bind=("0.0.0.0", 8080), listen=1024)
        for sock in client.sockets.list(state="listening"):
            print(sock.fd, sock.snapshot.local)
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def create(self, *, name: str | None = None, **spec: Unpack[SocketSpec]) -> Socket:
        """Create a socket and, in the same request, bind it and connect it or make it listen.

        A type with ``SOCK_NONBLOCK`` gives a handle that does not wait. With ``persist="boot"`` and a name,
        it is made again after a reboot.

        If the connection breaks it is sent again, also to the daemon's successor where there is a keeper:
        both know the request by its key, and answer with the socket that it made.
        """
        body = spec_json(spec)
        if name is not None:
            body["name"] = name
        return self._handle(self._send("POST", "/v1/sockets", body), spec)

    def create_many(self, count: int, *, name: str | None = None, **spec: Unpack[SocketSpec]) -> list[Socket]:
        """Create ``count`` sockets alike, or none: the error has the ``problem.index`` of the one refused.

        With a name they are called ``NAME.0``, ``NAME.1`` and so on. Sent again as ``create`` is.
        """
        body = {**spec_json(spec), "count": count}
        if name is not None:
            body["name"] = name
        return [
            self._handle(item, spec) for item in listed(self._send("POST", "/v1/sockets", body), "sockets")
        ]

    def ensure(self, name: str, **spec: Unpack[SocketSpec]) -> Socket:
        """Return the socket of this name, made now if there is none.

        If the connection breaks it is sent again: the second time finds what the first one made.

        Raises:
            FileExistsError: There is one, with another specification; ``members`` says where they differ.
        """
        return self._handle(self._send("PUT", f"/v1/names/{quote(name, safe='')}", spec_json(spec)), spec)

    def pair(
        self,
        family: int | str = "unix",
        type: int | str = "stream",  # noqa: A002 - the socket module's name for it
        protocol: int | str = 0,
        *,
        names: Sequence[str] | None = None,
    ) -> tuple[Socket, Socket]:
        """Create two sockets connected to each other. Sent again as ``create`` is."""
        body: dict[str, Any] = {"family": constants.family_name(family), "type": constants.type_name(type)}
        body["protocol"] = protocol
        if names is not None:
            body["names"] = list(names)
        one, other = (
            self._handle(item, {"type": type})
            for item in listed(self._send("POST", "/v1/socketpairs", body), "sockets")
        )
        return one, other

    def get(self, ref: int | str) -> Socket:
        """Find a socket by descriptor number (``fd``, or what ``fileno()`` gave) or name.

        Raises:
            OSError: EBADF, there is none; somebody else's looks the same.
        """
        if isinstance(ref, int) and ref >= constants.FILENO_BASE:
            ref -= constants.FILENO_BASE
        path = f"/v1/sockets/{quote(str(ref), safe='')}"
        return Socket.of(self._exchange, SocketInfo.from_json(self._exchange.json(Call("GET", path))))

    def list(self, **filters: Unpack[ListFilter]) -> Iterator[Socket]:
        """List sockets, fetching page after page as they are asked for."""
        query: dict[str, Any] = dict(filters)
        if query.get("family") is not None:
            query["family"] = constants.family_name(query["family"])
        if query.get("type") is not None:
            query["type"] = constants.type_name(query["type"])
        while True:
            page = self._exchange.json(Call("GET", "/v1/sockets", query))
            for item in listed(page, "sockets"):
                yield Socket.of(self._exchange, SocketInfo.from_json(item))
            query["cursor"] = page.get("next_cursor")
            if not query["cursor"]:
                return

    def _send(self, method: str, path: str, body: dict[str, Any]) -> Mapping[str, Any]:
        wait_s = float(body.get("timeout", _CONNECT_WAIT_S)) if "connect" in body else 0.0
        answer: Mapping[str, Any] = self._exchange.json(Call(method, path, body=body, wait_s=wait_s))
        return answer

    def _handle(self, item: Mapping[str, Any], spec: SocketSpec) -> Socket:
        sock = Socket.of(self._exchange, SocketInfo.from_json(item))
        if constants.is_nonblocking(spec.get("type")):
            sock.settimeout(0)
        return sock
