"""Client of socketd, the daemon that owns sockets for other programs.

Example::

    from socketd_client import Client

    with Client.from_env() as client:
        listener = client.sockets.create(bind=("127.0.0.1", 3490), listen=True)
        connection, address = listener.accept()
        connection.sendall(b"hello")
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from socketd_client.addresses import (
    Address,
    Inet6Address,
    InetAddress,
    NetlinkAddress,
    PacketAddress,
    UnixAddress,
    VsockAddress,
)
from socketd_client.client import Client, Ready
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
from socketd_client.handle import Socket
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
)
from socketd_client.specification import SocketSpec

try:
    __version__ = version("socketd")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+unknown"

__all__ = [
    "AddrInfo",
    "Address",
    "ApiError",
    "BadAnswerError",
    "ByteOrder",
    "Client",
    "ConnectError",
    "ConnectionLostError",
    "Descriptor",
    "DescriptorDetail",
    "Inet6Address",
    "InetAddress",
    "KernelError",
    "KernelView",
    "NetlinkAddress",
    "Network",
    "PacketAddress",
    "Problem",
    "ProcessInfo",
    "Ready",
    "Resolution",
    "ResolveError",
    "ServiceInfo",
    "Socket",
    "SocketInfo",
    "SocketOption",
    "SocketSpec",
    "SocketdError",
    "TransportError",
    "TransportTimeoutError",
    "UnixAddress",
    "VsockAddress",
    "__version__",
]
