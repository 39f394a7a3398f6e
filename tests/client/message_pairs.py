"""Pairs of handles and of local sockets, and the descriptors that go through them."""

from __future__ import annotations

import array
import contextlib
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd_client import Client, Socket

RIGHTS: Final = (int(socket.SOL_SOCKET), int(socket.SCM_RIGHTS))
SPACE: Final = socket.CMSG_SPACE(16 * 4)


@contextlib.contextmanager
def local_pair(kind: int = socket.SOCK_STREAM) -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    with one, other:
        yield one, other


def held_pair(client: Client, kind: str = "stream") -> tuple[Socket, Socket]:
    one, other = client.sockets.pair(type=kind)
    one.settimeout(5)
    other.settimeout(5)
    return one, other


def rights(*descriptors: int) -> list[tuple[int, int, array.array[int]]]:
    return [(*RIGHTS, array.array("i", descriptors))]


def received(ancdata: list[tuple[int, int, bytes]]) -> list[int]:
    """List the descriptors that came, and nothing else."""
    found = array.array("i")
    for level, kind, data in ancdata:
        assert (level, kind) == RIGHTS
        found.frombytes(data)
    return found.tolist()


def held(client: Client) -> set[int]:
    return {sock.fd for sock in client.sockets.list()}
