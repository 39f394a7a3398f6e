"""An application whose connection a test may end, and what passes over it."""

from __future__ import annotations

import array
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.web.in_process import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.in_process import Web

UPGRADE = {"Connection": "Upgrade", "Upgrade": "socketd-give"}
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
FLAGS = 0x40000000  # MSG_CMSG_CLOEXEC
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")


@pytest.fixture
def web() -> Iterator[Web]:
    """One for each test: connections are ended by some of them."""
    with serving() as made:
        yield made


def received(web: Web) -> list[socket.socket]:
    """Read the interim answers that wait at the client's end."""
    found: list[socket.socket] = []
    while True:
        try:
            data, control, flags, _ = web.far_end.recvmsg(65536, 4096, socket.MSG_DONTWAIT | FLAGS)
        except BlockingIOError:
            return found
        assert data == INTERIM
        assert not flags & socket.MSG_CTRUNC
        for _, _, content in control:
            found += [socket.socket(fileno=fd) for fd in array.array("i", content)]


def cookie(sock: socket.socket) -> int:
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, 57, 8), "little")


def listener(web: Web, **more: Any) -> dict[str, Any]:
    return web.create(bind="127.0.0.1:0", listen=True, **more)


class serving_as:  # noqa: N801 - reads as a word
    """Have the far end be another user's: a connection is whose it was when it was made."""

    def __init__(self, web: Web, uid: int) -> None:
        self._web, self._uid = web, uid

    def __enter__(self) -> None:
        web = self._web
        web.connection.close()
        web.far_end.close()
        os.seteuid(self._uid)
        try:
            web.connection, web.far_end = socket.socketpair()
        finally:
            os.seteuid(0)
        web.waiter = type(web.waiter)(web.connection.fileno())

    def __exit__(self, *_: object) -> None:
        pass
