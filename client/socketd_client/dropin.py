"""The functions that stand where those of the ``socket`` module do: same names, same arguments."""

from __future__ import annotations

from socket import AF_INET, SOCK_STREAM
from typing import TYPE_CHECKING, Any

from socketd_client.functions import UNSET, functions

if TYPE_CHECKING:
    from socketd_client.client import Client
    from socketd_client.functions import AnySocket
    from socketd_client.resolving import AddrInfoTuple, Host, Port


def socket(
    family: int = -1,
    type: int = -1,  # noqa: A002 - the socket module's name for it
    proto: int = -1,
    fileno: int | None = None,
    *,
    client: Client | None = None,
) -> AnySocket:
    """Make a held socket, in the kind that the client prefers; see ``Socket``."""
    return functions(client).socket(family, type, proto, fileno)


def create_connection(
    address: tuple[Host, Port],
    timeout: Any = UNSET,
    source_address: Any = None,
    *,
    all_errors: bool = False,
    client: Client | None = None,
) -> AnySocket:
    """Connect to ``(host, port)`` in one request, the name looked up where the daemon runs.

    The timeout, by default ``socket.getdefaulttimeout()``, is for all addresses of the host together; with
    ``source_address`` or ``all_errors`` for each, as in the ``socket`` module.
    """
    chosen = functions(client)
    return chosen.create_connection(address, timeout, source_address, all_errors=all_errors)


def create_server(
    address: Any,
    *,
    family: int = AF_INET,
    backlog: int | None = None,
    reuse_port: bool = False,
    dualstack_ipv6: bool = False,
    client: Client | None = None,
) -> AnySocket:
    """Make a socket that listens at an address, in one request."""
    chosen = functions(client)
    return chosen.create_server(
        address, family, backlog, reuse_port=reuse_port, dualstack_ipv6=dualstack_ipv6
    )


def socketpair(
    family: int | None = None,
    type: int = SOCK_STREAM,  # noqa: A002 - the socket module's name for it
    proto: int = 0,
    *,
    client: Client | None = None,
) -> tuple[AnySocket, AnySocket]:
    """Make two sockets that are connected to each other, of ``AF_UNIX`` by default."""
    return functions(client).socketpair(family, type, proto)


def fromfd(
    fd: int,
    family: int,
    type: int,  # noqa: A002 - the socket module's name for it
    proto: int = 0,
    *,
    client: Client | None = None,
) -> AnySocket:
    """Make a second object of a held socket by what its ``fileno()`` gave.

    A local descriptor's socket is given to the daemon; yours stays open. What a socket is, the kernel knows:
    family, type and protocol are taken for the signature's sake.
    """
    del family, type, proto
    return functions(client).fromfd(fd)


def getaddrinfo(  # noqa: PLR0913 - the socket module's signature
    host: Host,
    port: Port,
    family: int = 0,
    type: int = 0,  # noqa: A002 - the socket module's name for it
    proto: int = 0,
    flags: int = 0,
    *,
    client: Client | None = None,
) -> list[AddrInfoTuple]:
    """Resolve as ``socket.getaddrinfo``, on the daemon's host."""
    return functions(client).getaddrinfo(host, port, family, type, proto, flags)
