"""``installed``: for a time the ``socket`` module of a whole program makes held sockets."""

from __future__ import annotations

import _socket
import socket
from abc import ABCMeta
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from socketd_client import constants
from socketd_client.defaults import DEFAULTS
from socketd_client.descriptor_calls import CALLS
from socketd_client.functions import UNSET, Functions
from socketd_client.handle import Socket
from socketd_client.own_traffic import is_own
from socketd_client.patching import PATCHES
from socketd_client.selecting import replacements
from socketd_client.wrapping import wrap_socket

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from socketd_client.client import Client
    from socketd_client.functions import AnySocket, Preference
    from socketd_client.patching import Layer

_IP: Final = (socket.AF_INET, socket.AF_INET6)

# The originals: the stand-ins are in their places when they are needed.
_NATIVE: Final = socket.socket
_CREATE_CONNECTION: Final = socket.create_connection
_CREATE_SERVER: Final = socket.create_server
_SOCKETPAIR: Final = socket.socketpair
_FROMFD: Final = socket.fromfd
_GETADDRINFO: Final = socket.getaddrinfo


@contextmanager
def installed(
    client: Client, families: Sequence[int] = _IP, *, prefer: Preference | None = None
) -> Iterator[Client]:
    """Have libraries that know nothing of socketd use held sockets, in all threads, until the block ends.

    Within the block ``socket.socket``, ``create_connection``, ``create_server``, ``socketpair``, ``fromfd``,
    ``getaddrinfo`` and what waits for sockets in ``select`` and ``selectors`` are this package's, ``ssl``
    takes the descriptor of what it wraps, and ``fcntl.fcntl`` and ``os.sendfile`` know held sockets' numbers.
    Sockets of other families are local as ever. What a module has imported by value (``from socket import
    socket``) cannot be replaced. Blocks may be nested; the innermost counts.

    Args:
        client: Whose daemon holds the sockets; it stays open.
        families: Which address families to hold.
        prefer: ``"descriptor"`` makes real sockets of held ones where descriptors can travel; by default as
            the client.

    Example::

        with Client.from_env() as client, installed(client):
            http.server.HTTPServer(("", 8080), Handler).serve_forever()
    """
    chosen = Functions(client, prefer or client.prefer)
    layer = _layer(_StandIns(chosen, frozenset(families)))
    DEFAULTS.push(client)
    try:
        PATCHES.push(layer)
        try:
            yield client
        finally:
            PATCHES.remove(layer)
    finally:
        DEFAULTS.remove(client)


class _Kind(ABCMeta):
    """The class of the stand-in for ``socket.socket``: what it makes may be of another class.

    A program's class may have the stand-in and an abstract one as its bases; hence ``ABCMeta``.
    """

    chosen: _StandIns

    def __call__(cls, *args: Any, **options: Any) -> Any:
        """Make a socket of the kind that is asked for; one of a derived class is always held."""
        if cls._is_stand_in():
            return cls.chosen.make(*args, **options)
        return super().__call__(*args, **options)

    def __instancecheck__(cls, instance: object) -> bool:
        """Tell that local and held sockets are sockets."""
        if cls._is_stand_in():
            return isinstance(instance, (_socket.socket, Socket))
        return bool(super().__instancecheck__(instance))

    def __subclasscheck__(cls, kind: type) -> bool:
        """Tell that local and held sockets' classes are socket classes."""
        if cls._is_stand_in():
            return issubclass(kind, (_socket.socket, Socket))
        return bool(super().__subclasscheck__(kind))

    def _is_stand_in(cls) -> bool:
        return "chosen" in vars(cls)


@dataclass(frozen=True, slots=True)
class _StandIns:
    """What is put in place of the ``socket`` module's functions."""

    functions: Functions
    families: frozenset[int]

    def make(self, family: int = -1, type: int = -1, proto: int = -1, fileno: Any = None) -> Any:  # noqa: A002
        """Make a held socket, or a local one if the family is not asked for or it is for our own HTTP."""
        is_held_number = isinstance(fileno, int) and fileno >= constants.FILENO_BASE
        if fileno is None and not is_own():
            is_held_number = (socket.AF_INET if family == -1 else family) in self.families
        if is_held_number:
            return self.functions.socket(family, type, proto, fileno)
        return _NATIVE(family, type, proto, fileno)

    def create_connection(
        self, address: Any, timeout: Any = UNSET, source_address: Any = None, *, all_errors: bool = False
    ) -> AnySocket:
        """Connect in one request if both IP families are asked for; else with what ``socket`` makes."""
        if self._is_ip():
            return self.functions.create_connection(address, timeout, source_address, all_errors=all_errors)
        given = {} if timeout is UNSET else {"timeout": timeout}
        return _CREATE_CONNECTION(address, source_address=source_address, all_errors=all_errors, **given)

    def create_server(
        self,
        address: Any,
        *,
        family: int = socket.AF_INET,
        backlog: int | None = None,
        reuse_port: bool = False,
        dualstack_ipv6: bool = False,
    ) -> AnySocket:
        """Listen in one request if the family is asked for."""
        options = {"reuse_port": reuse_port, "dualstack_ipv6": dualstack_ipv6}
        if family in self.families and not is_own():
            return self.functions.create_server(address, family, backlog, **options)
        return _CREATE_SERVER(address, family=family, backlog=backlog, **options)

    def socketpair(self, family: int | None = None, type: int = socket.SOCK_STREAM, proto: int = 0) -> Any:  # noqa: A002
        """Make a pair, held if the family is asked for."""
        if (socket.AF_UNIX if family is None else family) in self.families and not is_own():
            return self.functions.socketpair(family, type, proto)
        return _SOCKETPAIR(family, type, proto)

    def fromfd(self, fd: Any, family: int, type: int, proto: int = 0) -> AnySocket:  # noqa: A002
        """Duplicate a held number's socket, or a local descriptor's."""
        if isinstance(fd, int) and fd >= constants.FILENO_BASE:
            return self.functions.fromfd(fd)
        return _FROMFD(fd, family, type, proto)

    def getaddrinfo(
        self,
        host: Any,
        port: Any,
        family: int = 0,
        type: int = 0,  # noqa: A002
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """Resolve where the held sockets connect."""
        if self._is_ip():
            return self.functions.getaddrinfo(host, port, family, type, proto, flags)
        return _GETADDRINFO(host, port, family, type, proto, flags)

    def _is_ip(self) -> bool:
        return self.families.issuperset(_IP) and not is_own()


def _layer(made: _StandIns) -> Layer:
    """List the replacements by module and name."""
    stand_in = _Kind("socket", (Socket,), {"chosen": made, "__doc__": Socket.__doc__, "__module__": "socket"})
    functions = ("create_connection", "create_server", "socketpair", "fromfd", "getaddrinfo")
    return {
        **replacements(made.functions.client),
        ("ssl:SSLContext", "wrap_socket"): wrap_socket,
        **CALLS,
        **{("socket", name): getattr(made, name) for name in functions},
        ("socket", "socket"): stand_in,
        ("socket", "SocketType"): stand_in,
    }
