"""Addresses, options, pairs, servers and messages of held sockets, beside those of local ones."""

from __future__ import annotations

import os
import select
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.same import BOUND_S, LOOPBACK, connected, end, same

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.system.same import Comparison

__all__ = ["same"]  # a fixture

GROUP = struct.pack("4s4s", socket.inet_aton("224.0.0.251"), socket.inet_aton("127.0.0.1"))


def reset_by_linger() -> list[Any]:
    with connected() as (calling, called):
        calling.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        seen = [calling.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)]
        calling.close()
        return [*seen, end(called.recv, 1)]


def multicast() -> list[Any]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 0))
        sock.settimeout(BOUND_S)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, GROUP)
        seen = [end(sock.setsockopt, socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, GROUP)]
        sock.sendto(b"to all", ("224.0.0.251", sock.getsockname()[1]))
        seen.append(sock.recv(100))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, GROUP)
        return [*seen, sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, 4)]


def shared_port() -> list[Any]:
    with socket.create_server(LOOPBACK, reuse_port=True) as one:
        address = one.getsockname()
        with socket.create_server(address, reuse_port=True) as other:
            return [other.getsockname() == address, end(socket.create_server, address)]


def both_families() -> list[Any]:
    seen: list[Any] = [socket.has_dualstack_ipv6()]
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        calling = socket.create_connection(("127.0.0.1", listener.getsockname()[1]), BOUND_S)
        called, address = listener.accept()
        with calling, called:
            return [*seen, listener.getsockname()[0], address[0], len(address)]


def abstract_names() -> list[Any]:
    name = b"\0a name \xff\0z %d" % os.getpid()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as calling:
        listener.bind(name)
        listener.listen()
        calling.connect(name)
        called, address = listener.accept()
        with called:
            return [listener.getsockname(), calling.getpeername(), address, called.getpeername()]


def default_timeout() -> list[Any]:
    socket.setdefaulttimeout(0.05)
    try:
        with socket.create_server(LOOPBACK) as listener, socket.socket() as calling:
            seen = [end(listener.accept)]
            calling.connect(listener.getsockname())
            called, _ = listener.accept()
            with called, calling.dup() as twin:
                waits = [each.gettimeout() for each in (listener, calling, called, twin)]
                return [*seen, *waits, end(called.recv, 1), end(twin.recv, 1)]
    finally:
        socket.setdefaulttimeout(None)


def peeked() -> list[Any]:
    with connected() as (calling, called):
        called.settimeout(None)
        calling.sendall(b"hello")
        seen: list[Any] = [called.recv(3, socket.MSG_PEEK), called.recv(5, socket.MSG_WAITALL)]
        seen.append(end(called.recv, 1, socket.MSG_DONTWAIT))
        calling.shutdown(socket.SHUT_WR)
        return [*seen, called.recv(5, socket.MSG_WAITALL), end(called.recv, -1), end(called.recv, 5, 1 << 40)]


def messages() -> list[Any]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.sendmsg(part for part in (b"abc", bytearray(b"def"), memoryview(b"ghi")))
        seen: list[Any] = [other.recvmsg(4)]
        one.send(b"hello")
        parts = [bytearray(2), bytearray(1), bytearray(9)]
        seen += [other.recvmsg_into(parts), parts]
        for wrong in (5, [1], b"bytes"):
            seen.append(end(one.sendmsg, wrong)[0])
        return [
            *seen,
            end(other.recvmsg, -1),
            end(other.recvmsg, 5, -1),
            end(other.recvmsg_into, [b"constant"]),
        ]


def kinds_of_pairs() -> list[Any]:
    seen: list[Any] = []
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_NONBLOCK | 1, 99):
        made = end(socket.socketpair, socket.AF_UNIX, kind)
        if not isinstance(made[0], socket.socket):
            seen.append(made)
            continue
        one, other = made
        with one, other:
            one.send(b"hello")
            seen += [one.type, one.proto, one.gettimeout(), one.getsockname(), other.recv(3)]
    return seen


def connecting() -> list[Any]:
    with socket.create_server(LOOPBACK) as listener, socket.socket() as sock:
        address = listener.getsockname()
        sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
        seen: list[Any] = [sock.connect_ex(address)]
        seen.append(select.select([], [sock], [], BOUND_S)[1] == [sock])
        seen += [sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), sock.getpeername() == address]
        with socket.socket() as again:
            again.connect(address)
            seen += [end(again.connect, address), end(again.connect, ("127.0.0.1", 65536))]
        return [*seen, end(socket.create_server, address)]


PIECES = (
    reset_by_linger,
    multicast,
    shared_port,
    both_families,
    abstract_names,
    default_timeout,
    peeked,
    messages,
    kinds_of_pairs,
    connecting,
)


@pytest.mark.parametrize("piece", PIECES)
def test_it_is_as_locally(same: Comparison, piece: Callable[[], Any]):
    same(piece)


def paths(folder: str, name: str | bytes) -> list[Any]:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other,
    ):
        whole = os.fsencode(folder) + b"/" + os.fsencode(name)
        given = whole if isinstance(name, bytes) else os.fsdecode(whole)
        one.bind(given)
        seen: list[Any] = [one.getsockname(), end(other.bind, given), other.sendto(b"hello", given)]
        seen += [
            one.recvfrom(100),
            other.connect(given),
            other.getpeername(),
            other.send(b"again"),
            one.recv(9),
        ]
        os.unlink(given)  # noqa: PTH108 - Path takes no bytes
        return seen


@pytest.mark.parametrize("name", ["text", "ü", os.fsdecode(b"\xff\xfe"), b"bytes \xff"])
def test_path_is_as_locally(same: Comparison, tmp_path_factory: pytest.TempPathFactory, name: str | bytes):
    folder: Path = tmp_path_factory.mktemp("u")
    same(paths, str(folder), name)


def test_class_is_told_by_isinstance(same: Comparison):
    def classes() -> list[Any]:
        with socket.socket() as sock:
            return [
                isinstance(sock, socket.socket),
                isinstance(sock, socket.SocketType),
                issubclass(socket.socket, socket.SocketType),
                issubclass(type(sock), socket.socket),
                isinstance(3, socket.socket),
                (repr(sock.family), repr(sock.type), sock.proto),
            ]

    same(classes)
