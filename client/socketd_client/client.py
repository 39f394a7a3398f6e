"""The client: one daemon, one session, everything the API offers."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, overload
from urllib.parse import quote

from socketd_client import constants, passing
from socketd_client.byteorder import ByteOrders
from socketd_client.caller import CallerInfo
from socketd_client.calls import Call
from socketd_client.endpoint import Endpoint, Trust
from socketd_client.events import Event, follow
from socketd_client.exchange import Exchange
from socketd_client.forwards import Forwards
from socketd_client.handle import Socket
from socketd_client.names import Names
from socketd_client.polling import poll_call, ready_in
from socketd_client.process import Process
from socketd_client.records import Network, Resolution, ServiceInfo, SocketInfo
from socketd_client.reference import NotYetError, wait
from socketd_client.sockets import Sockets
from socketd_client.unix_url import default_url
from socketd_client.wire import listed

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Protocol

    from socketd_client.functions import Preference

    class _HasFileno(Protocol):
        def fileno(self) -> int: ...

    Local = _HasFileno | int

DEFAULT_TIMEOUT_S: Final = 10.0


class Ready(NamedTuple):
    """A socket that ``poll`` found ready; ``events`` is a mask of ``select.POLLIN`` and so on."""

    socket: Socket
    events: int


class Client:
    """A client of one daemon; several threads may use it at once.

    Args:
        url: ``unix:///run/socketd/api.sock``, ``http://127.0.0.1:8080`` or ``https://…``; by default this
            user's daemon if one runs, else the system's.
        token: Bearer token; over TCP the daemon asks for one, or for a certificate.
        trust: Files for ``https``: whom to believe, and our own certificate.
        timeout_s: How long connecting may take, and an answer beyond what its call waits for. So long, too,
            a call goes on while the daemon restarts; ``repeating`` says which are sent a second time.
        prefer: ``"descriptor"`` has the module functions and ``installed`` make real sockets of held ones.

    Example::

        with Client.from_env() as client:
            listener = client.sockets.create(bind=("127.0.0.1", 0), listen=True)
            print(listener.getsockname(), listener.pid, listener.fd)

    Raises:
        ValueError: ``url`` is none of these, a file of ``trust`` cannot be read, or ``timeout_s`` is not
            above 0.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        trust: Trust | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        prefer: Preference | None = None,
    ) -> None:
        if not timeout_s > 0:
            raise ValueError("timeout_s must be above 0 seconds")
        endpoint = Endpoint.parse(default_url(os.environ) if url is None else url, trust)
        self._exchange = Exchange(endpoint, token=token, timeout_s=timeout_s)
        self.prefer = prefer
        self.sockets = Sockets(self._exchange)
        self.names = Names(self._exchange, self.sockets)
        self.forwards = Forwards(self._exchange)
        self.process = Process(self._exchange)
        self.byteorder = ByteOrders(self._exchange)

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        prefer: Preference | None = None,
    ) -> Self:
        """Make the client that the environment describes; unset, the default's.

        ``SOCKETD_URL``, ``SOCKETD_TOKEN``; for ``https`` the files ``SOCKETD_CA``, ``SOCKETD_CERT`` and
        ``SOCKETD_KEY``.
        """
        known = os.environ if environ is None else environ
        url = known.get("SOCKETD_URL") or default_url(known)
        ca, cert, key = (known.get(f"SOCKETD_{name}") or None for name in ("CA", "CERT", "KEY"))
        token = known.get("SOCKETD_TOKEN") or None
        return cls(url, token=token, trust=Trust(ca, cert, key), timeout_s=timeout_s, prefer=prefer)

    @property
    def exchange(self) -> Exchange:
        """What sends this client's calls; for what is built on it."""
        return self._exchange

    @property
    def url(self) -> str:
        """Where the daemon is."""
        return self._exchange.endpoint.url

    def info(self) -> ServiceInfo:
        """Return the daemon's description of itself."""
        return self._exchange.service(fresh=True)

    def caller(self) -> CallerInfo:
        """Return who the daemon takes us for, and what we may."""
        return CallerInfo.from_json(self._exchange.json(Call("GET", "/v1/caller")))

    def health(self) -> bool:
        """Tell whether the daemon says that it is well; needs no token."""
        return bool(self._exchange.json(Call("GET", "/healthz")).get("status") == "ok")

    def addrinfo(
        self,
        host: str | None = None,
        service: int | str | None = None,
        *,
        family: int | str | None = None,
        type: int | str | None = None,  # noqa: A002 - the socket module's name for it
        flags: Iterable[str] = (),
    ) -> Resolution:
        """Resolve with ``getaddrinfo`` on the daemon's host; flags by name (``AI_PASSIVE``).

        Raises:
            socket.gaierror: Nothing was found.
        """
        query = {
            "host": host,
            "service": service,
            "family": None if family is None else constants.family_name(family),
            "type": None if type is None else constants.type_name(type),
            "flags": tuple(flags) or None,
        }
        return Resolution.from_json(self._exchange.json(Call("GET", "/v1/addrinfo", query)))

    def network(self, address: str, prefix: int) -> Network:
        """Explain an address and its prefix length."""
        path = f"/v1/networks/{quote(address, safe='')}/{prefix}"
        return Network.from_json(self._exchange.json(Call("GET", path)))

    def poll(
        self, sockets: Iterable[Socket | tuple[Socket, int]], timeout: float | None = None
    ) -> list[Ready]:
        """Wait until some of several sockets are ready.

        Args:
            sockets: Handles, each alone (``POLLIN`` is meant) or with a mask of ``select.poll`` events.
            timeout: Seconds; ``None`` waits for ever, 0 does not wait.

        Returns:
            Those that are ready, ``[]`` if the time is over. One closed meanwhile has ``POLLNVAL``.
        """
        asked = [(item, select.POLLIN) if isinstance(item, Socket) else item for item in sockets]
        by_fd = {sock.fd: sock for sock, _ in asked}
        pairs = [(sock.fd, mask) for sock, mask in asked]

        def ask(timeout_s: float) -> list[Ready]:
            found = ready_in(self._exchange.json(poll_call(pairs, timeout_s)))
            if not found and timeout_s:
                raise NotYetError
            return [Ready(by_fd[fd], mask) for fd, mask in found]

        try:
            return wait(ask, timeout)
        except NotYetError:
            return []

    def events(self, after: int | None = None, timeout: float | None = None) -> Iterator[Event]:
        """Follow what happens to the sockets that this client may see, across restarts of the daemon.

        Args:
            after: The ``sequence`` of the last event that is known. ``None``: only what comes; 0: all that
                the daemon still has.
            timeout: Seconds; ``None`` never ends, 0 gives what is there.

        Returns:
            An iterator; the daemon is asked when it is first used. An event ``gap`` says that some are
            missing for good.
        """
        return map(Event.from_json, self.raw_events(after, timeout))

    def raw_events(self, after: int | None = None, timeout: float | None = None) -> Iterator[dict[str, Any]]:
        """Follow as ``events``, and get them as the API writes them."""
        return follow(self._exchange, after, timeout)

    def take(self, *refs: int | str, blocking: bool = False, release: bool = False) -> list[socket.socket]:
        """Return held sockets themselves, by number or name, in this order; see ``Socket.take``.

        All or none. With ``release`` the daemon forgets its own. Sent again if the connection breaks, for it
        changes nothing; with ``release`` only until all have come, and then these are the answer.
        """
        if not refs:
            return []
        body = {"sockets": list(refs), "release": release, "blocking": blocking}
        _, taken = passing.take(
            self._exchange, Call("POST", "/v1/sockets/take", {"fields": "fd"}, body), len(refs)
        )
        return taken

    @overload
    def give(self, sock: Local, /, *, name: str | None = ..., existing_ok: bool = ...) -> Socket: ...

    @overload
    def give(
        self,
        sock: Local,
        /,
        *more: Local,
        names: Sequence[str | None] | None = ...,
        existing_ok: bool = ...,
    ) -> list[Socket]: ...

    def give(
        self,
        sock: Local,
        /,
        *more: Local,
        name: str | None = None,
        names: Sequence[str | None] | None = None,
        existing_ok: bool = False,
    ) -> Socket | list[Socket]:
        """Have the daemon hold sockets of this process, all or none; yours stay open and yours.

        Args:
            sock: A socket, or its descriptor's number.
            more: More of them; then, or with ``names``, the answer is a list.
            name: What the one shall be called.
            names: What each shall be called.
            existing_ok: Where one is held already, return that instead of EEXIST.

        If the connection breaks it is sent again, as ``sockets.create`` is: the daemon knows by the key and
        the inode what it was given already.

        Raises:
            OSError: ENOTSOCK, EEXIST; EOPNOTSUPP over TCP; EBADF, it is not open here.
        """
        is_one = not more and names is None
        descriptors = [each if isinstance(each, int) else each.fileno() for each in (sock, *more)]
        wanted = [name] if is_one else list(names or [None] * len(descriptors))
        if len(wanted) != len(descriptors) or (name is not None and not is_one):
            raise ValueError("as many names as sockets, or name= for one")
        offers: list[dict[str, Any]] = [{} if each is None else {"name": each} for each in wanted]
        answer = passing.give(self._exchange, descriptors, offers, existing_ok=existing_ok)
        held = [Socket.of(self._exchange, SocketInfo.from_json(one)) for one in listed(answer, "sockets")]
        return held[0] if is_one else held

    def give_from(self, pid: int, fd: int, *, name: str | None = None) -> Socket:
        """Have the daemon hold a duplicate of another process' descriptor; for root.

        Sent again as ``sockets.create`` is.

        Raises:
            OSError: ESRCH, EBADF, ENOTSOCK; EPERM, the daemon may not trace that process.
        """
        body: dict[str, Any] = {"pid": pid, "fd": fd, **({} if name is None else {"name": name})}
        made = self._exchange.json(Call("POST", "/v1/sockets/give", body=body))
        return Socket.of(self._exchange, SocketInfo.from_json(made))

    def close(self) -> None:
        """Close the connections; the daemon's sockets stay, but for those that are this program's own."""
        self._exchange.shares.finish()
        self._exchange.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close the connections."""
        self.close()

    def __repr__(self) -> str:
        """Show where the daemon is."""
        return f"{type(self).__name__}({self.url!r})"
