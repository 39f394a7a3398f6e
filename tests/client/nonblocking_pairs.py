"""Pairs of local sockets whose first end never makes its description blocking, or is a plain one."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from socketd_client.nonblocking import Nonblocking

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_S = 20.0
LARGE = 4 << 20  # no socket buffer takes it at once
DONTWAIT, WAITALL = socket.MSG_DONTWAIT, socket.MSG_WAITALL
Pair = tuple[socket.socket, socket.socket]


def pair_of(kind: type[socket.socket], how: socket.SocketKind = socket.SOCK_STREAM) -> Pair:
    """Make a pair whose first end is of the kind that is tested, and whose description does not block."""
    one, other = socket.socketpair(socket.AF_UNIX, how)
    other.settimeout(WAIT_S)
    if kind is socket.socket:
        return one, other
    one.setblocking(False)  # noqa: FBT003 - the socket module's signature
    return kind(fileno=one.detach()), other


@pytest.fixture(params=[socket.socket, Nonblocking], ids=["plain", "nonblocking"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """The plain one runs through every test of behaviour too: it says what is right."""
    one, other = pair_of(request.param)
    with one, other:
        yield one, other


@pytest.fixture
def ours() -> Iterator[Pair]:
    one, other = pair_of(Nonblocking)
    with one, other:
        yield one, other
