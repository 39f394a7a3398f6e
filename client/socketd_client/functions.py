"""The functions of the ``socket`` module that make sockets, for held ones."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from socketd_client import constants
from socketd_client.arguments import c_int, check, integer, is_literal, seconds, without_name
from socketd_client.calls import Call
from socketd_client.defaults import default_client
from socketd_client.errors import TIMED_OUT, ApiError, ApiTimeoutError, TransportError
from socketd_client.handle import DEFAULT_BACKLOG, Socket
from socketd_client.making import find, give
from socketd_client.naming import wire_address
from socketd_client.own_traffic import NATIVE_GETADDRINFO
from socketd_client.records import SocketInfo
from socketd_client.resolving import NUMERIC, getaddrinfo
from socketd_client.taken import preferred
from socketd_client.wire import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from socketd_client.client import Client
    from socketd_client.resolving import AddrInfoTuple, Host, Port

Preference: TypeAlias = Literal["descriptor"]
AnySocket: TypeAlias = "Socket | socket.socket"

UNSET: Final[Any] = getattr(socket, "_GLOBAL_DEFAULT_TIMEOUT", object())  # what http.client passes
_PORTS: Final = range(1 << 16)
_ONE_REQUEST_S: Final = 30.0  # how long connecting may take within create; more than that goes on by itself


@dataclass(frozen=True, slots=True)
class Functions:
    """The functions for one client; what they make is the program's own, and ends with its last reference.

    Attributes:
        prefer: ``"descriptor"`` makes objects of this process where a descriptor can travel.
    """

    client: Client
    prefer: Preference | None = None

    def socket(
        self,
        family: int = -1,
        type: int = -1,  # noqa: A002 - the socket module's name for it
        proto: int = -1,
        fileno: int | None = None,
    ) -> AnySocket:
        """Make a socket, as the class of that name."""
        return self.prefer_of(Socket(family, type, proto, fileno, client=self.client))

    def create_connection(
        self, address: tuple[Host, Port], timeout: Any, source_address: Any, *, all_errors: bool
    ) -> AnySocket:
        """Connect to an address, each that its host has in turn."""
        host, port = address
        timeout_s = socket.getdefaulttimeout() if timeout is UNSET else seconds("settimeout", timeout)
        is_simple = source_address is None and not all_errors and timeout_s != 0
        sock = self._connect_at_once(host, port, timeout_s) if is_simple else None
        if sock is None:
            sock = self._connect_in_turn(host, port, timeout_s, source_address, all_errors=all_errors)
        sock.settimeout(timeout_s)
        return self.prefer_of(sock)

    def create_server(
        self, address: Any, family: int, backlog: int | None, *, reuse_port: bool, dualstack_ipv6: bool
    ) -> AnySocket:
        """Make a listener in one request."""
        if dualstack_ipv6 and family != socket.AF_INET6:
            raise ValueError("dualstack_ipv6 requires AF_INET6 family")
        options: dict[str, Any] = {"SO_REUSEADDR": True}
        if reuse_port:
            options["SO_REUSEPORT"] = True
        if family == socket.AF_INET6:
            options["IPV6_V6ONLY"] = not dualstack_ipv6
        name = constants.family_name(family)
        check(family, "bind", without_name(address))
        body = {
            "family": name,
            "type": "stream",
            "options": options,
            "bind": wire_address(address, str(name), "bind"),
            "listen": {"backlog": constants.backlog(DEFAULT_BACKLOG if backlog is None else backlog)},
        }
        try:
            made = self._create(body)
        except ApiError as error:
            if error.syscall != "bind" or not isinstance(error, OSError) or error.errno is None:
                raise
            text = f"{os.strerror(error.errno)} (while attempting to bind on address {address!r})"
            raise OSError(error.errno, text) from error
        made._proto = 0  # noqa: SLF001 - as the constructor has it
        return self.prefer_of(made)

    def socketpair(self, family: int | None, kind: int, proto: int) -> tuple[AnySocket, AnySocket]:
        """Make two sockets that are connected to each other."""
        body = {
            "family": constants.family_name(socket.AF_UNIX if family is None else c_int(family)),
            "type": constants.type_name(c_int(kind)),
            "protocol": c_int(proto),
        }
        answer = self._send("/v1/socketpairs", body)
        one, other = (self._owned(item) for item in listed(answer, "sockets"))
        for sock in (one, other):
            if constants.is_nonblocking(kind):
                sock.settimeout(0)
        return self.prefer_of(one), self.prefer_of(other)

    def fromfd(self, fd: int) -> AnySocket:
        """Make a second object of a held socket's number, or have the daemon hold a local descriptor's."""
        exchange, fd = self.client.exchange, integer(fd)
        if fd >= constants.FILENO_BASE:
            return self.prefer_of(Socket.of(exchange, find(exchange, fd), is_owned=True, is_duplicate=True))
        return self.prefer_of(Socket.of(exchange, give(exchange, fd), is_owned=True))

    def getaddrinfo(self, host: Host, port: Port, *rest: int) -> list[AddrInfoTuple]:
        """Resolve on the daemon's host: ``rest`` is family, type, protocol, flags."""
        return getaddrinfo(self.client.exchange, host, port, *rest)

    def prefer_of(self, sock: Socket) -> AnySocket:
        """Return a socket in the kind that is preferred."""
        return sock if self.prefer is None else preferred(sock)

    def _connect_at_once(self, host: Host, port: Port, timeout_s: float | None) -> Socket | None:
        """Make and connect a socket in one request; ``None`` if that takes longer than a request may."""
        wait_s = min(_ONE_REQUEST_S, _ONE_REQUEST_S if timeout_s is None else timeout_s)
        try:
            return self._create(
                {"type": "stream", "connect": _destination(host, port), "timeout": wait_s}, wait_s
            )
        except ApiTimeoutError as error:
            if error.code != TIMED_OUT or (timeout_s is not None and timeout_s <= wait_s):
                raise
            return None

    def _connect_in_turn(
        self, host: Host, port: Port, timeout_s: float | None, source: Any, *, all_errors: bool
    ) -> Socket:
        errors: list[OSError] = []
        for family, kind, proto, _, peer in self.getaddrinfo(host, port, 0, socket.SOCK_STREAM):
            sock = Socket(family, kind, proto, client=self.client)
            try:
                sock.settimeout(timeout_s)
                if source:
                    sock.bind(source)
                sock.connect(peer)
            except OSError as error:
                sock.close()
                if isinstance(error, TransportError):
                    raise
                errors.append(error)
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        try:
            if all_errors and errors:
                raise ExceptionGroup("create_connection failed", errors)
            raise errors[-1] if errors else OSError("getaddrinfo returns an empty list")
        finally:
            errors.clear()  # an error's traceback has this frame, which has the error

    def _create(self, body: dict[str, Any], wait_s: float = 0.0) -> Socket:
        return self._owned(self._send("/v1/sockets", body, wait_s))

    def _send(self, path: str, body: dict[str, Any], wait_s: float = 0.0) -> Mapping[str, Any]:
        exchange = self.client.exchange
        answer: Mapping[str, Any] = exchange.json(Call("POST", path, body=body, wait_s=wait_s))
        return answer

    def _owned(self, item: Mapping[str, Any]) -> Socket:
        return Socket.of(self.client.exchange, SocketInfo.from_json(item), is_owned=True)


def functions(client: Client | None = None) -> Functions:
    """Return the functions of a client; by default that of ``installed``, else the environment's."""
    chosen = client or default_client()
    return Functions(chosen, chosen.prefer)


def _destination(host: Host, port: Port) -> dict[str, Any]:
    try:
        NATIVE_GETADDRINFO(host, port, 0, 0, 0, NUMERIC)
    except socket.gaierror:  # what is no host it says in other ways
        if host in ("", b""):
            raise
    name = host.decode() if isinstance(host, bytes) else host
    if isinstance(port, int) and isinstance(name, str) and port in _PORTS:
        for family, text in ((socket.AF_INET, "inet"), (socket.AF_INET6, "inet6")):
            if is_literal(family, name):
                return dict(wire_address((name, port), text, "connect"))  # type: ignore[arg-type]
    service = port.decode() if isinstance(port, bytes) else str(port or 0)
    asked = {"service": service}
    if name is not None:
        asked["host"] = name if name.isascii() else name.encode("idna").decode()
    return asked
