"""A held listener and a held pair, and a local socket on a port that is taken by it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from socketd_client import Client, Socket

BOUND_S = 30.0
LOOPBACK = ("127.0.0.1", 0)


@pytest.fixture
def listener(client: Client) -> Socket:
    return client.sockets.create(bind=LOOPBACK, listen=True)


@pytest.fixture
def pair(client: Client) -> tuple[Socket, Socket]:
    return client.sockets.pair()


def taken_port() -> socket.socket:
    sock = socket.socket()
    sock.bind(LOOPBACK)
    sock.listen()
    return sock
