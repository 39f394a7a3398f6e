"""Client of socketd, the daemon that owns sockets for other programs.

Example::

    from socketd_client import Client

    with Client.from_env() as client:
        listener = client.sockets.create(bind=("127.0.0.1", 3490), listen=True)
        connection, address = listener.accept()
        connection.sendall(b"hello")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from socketd_client.activation import listen_fds
    from socketd_client.addresses import (
        Address,
        Inet6Address,
        InetAddress,
        NetlinkAddress,
        PacketAddress,
        UnixAddress,
        VsockAddress,
    )
    from socketd_client.caller import CallerInfo
    from socketd_client.client import Client, Ready
    from socketd_client.dropin import (
        create_connection,
        create_server,
        fromfd,
        getaddrinfo,
        socket,
        socketpair,
    )
    from socketd_client.endpoint import Trust
    from socketd_client.errors import (
        ApiError,
        BadAnswerError,
        ConnectError,
        ConnectionLostError,
        KernelError,
        ResolveError,
        SocketdError,
        TransportError,
        TransportTimeoutError,
    )
    from socketd_client.events import Event
    from socketd_client.forwards import Forward, ForwardInfo
    from socketd_client.handle import Socket
    from socketd_client.installing import installed
    from socketd_client.names import NameInfo
    from socketd_client.problem import Problem
    from socketd_client.records import (
        AddrInfo,
        ByteOrder,
        Descriptor,
        DescriptorDetail,
        KernelView,
        Network,
        ProcessInfo,
        Resolution,
        ServiceInfo,
        SocketInfo,
        SocketOption,
        Taker,
    )
    from socketd_client.selector import Selector
    from socketd_client.specification import SocketSpec
    from socketd_client.taken import Taken

    __version__: str

__all__ = [
    "AddrInfo",
    "Address",
    "ApiError",
    "BadAnswerError",
    "ByteOrder",
    "CallerInfo",
    "Client",
    "ConnectError",
    "ConnectionLostError",
    "Descriptor",
    "DescriptorDetail",
    "Event",
    "Forward",
    "ForwardInfo",
    "Inet6Address",
    "InetAddress",
    "KernelError",
    "KernelView",
    "NameInfo",
    "NetlinkAddress",
    "Network",
    "PacketAddress",
    "Problem",
    "ProcessInfo",
    "Ready",
    "Resolution",
    "ResolveError",
    "Selector",
    "ServiceInfo",
    "Socket",
    "SocketInfo",
    "SocketOption",
    "SocketSpec",
    "SocketdError",
    "Taken",
    "Taker",
    "TransportError",
    "TransportTimeoutError",
    "Trust",
    "UnixAddress",
    "VsockAddress",
    "__version__",
    "create_connection",
    "create_server",
    "fromfd",
    "getaddrinfo",
    "installed",
    "listen_fds",
    "socket",
    "socketpair",
]

# Where each name lives. It is imported when first asked for: requests costs 150 ms, and neither socketctl
# exec nor a program that only wants its LISTEN_FDS needs it.
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "activation": ("listen_fds",),
    "addresses": (
        "Address",
        "Inet6Address",
        "InetAddress",
        "NetlinkAddress",
        "PacketAddress",
        "UnixAddress",
        "VsockAddress",
    ),
    "caller": ("CallerInfo",),
    "client": ("Client", "Ready"),
    "dropin": (
        "create_connection",
        "create_server",
        "fromfd",
        "getaddrinfo",
        "socket",
        "socketpair",
    ),
    "endpoint": ("Trust",),
    "errors": (
        "ApiError",
        "BadAnswerError",
        "ConnectError",
        "ConnectionLostError",
        "KernelError",
        "ResolveError",
        "SocketdError",
        "TransportError",
        "TransportTimeoutError",
    ),
    "events": ("Event",),
    "forwards": ("Forward", "ForwardInfo"),
    "handle": ("Socket",),
    "installing": ("installed",),
    "names": ("NameInfo",),
    "problem": ("Problem",),
    "records": (
        "AddrInfo",
        "ByteOrder",
        "Descriptor",
        "DescriptorDetail",
        "KernelView",
        "Network",
        "ProcessInfo",
        "Resolution",
        "ServiceInfo",
        "SocketInfo",
        "SocketOption",
        "Taker",
    ),
    "selector": ("Selector",),
    "specification": ("SocketSpec",),
    "taken": ("Taken",),
}


if not TYPE_CHECKING:  # a checker shall still find a misspelled name

    def __getattr__(name: str) -> object:
        """Import a name of this package when it is first used (PEP 562)."""
        if name == "__version__":
            value = _version()
        else:
            home = next((module for module, names in _NAMES.items() if name in names), None)
            if home is None:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
            value = getattr(import_module(f"{__name__}.{home}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """List the names that are not imported yet, too."""
        return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - 30 ms

    try:
        return version("socketd")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"
