"""A relay for datagrams that loses some of them, by a seed: what a bad network does to TFTP."""

from __future__ import annotations

import random
import select
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

Address = tuple[str, int]
_LOOK_S = 0.2


class LossyRelay:
    """Stands between one client and a server on loopback.

    The server may answer from other ports than the one that was asked, as TFTP's does (RFC 1350, 4): each of
    them has a port of ours, by which the client knows it.

    Args:
        server: Where the first datagram goes.
        loss: How many of one are lost, each way.
        seed: Of the losses.

    Attributes:
        address: What the client is to ask.
        lost: Datagrams that were lost so far.
        passed: Datagrams that were not.
    """

    def __init__(self, server: Address, loss: float, seed: int) -> None:
        self._server = server
        self._loss = loss
        self._random = random.Random(seed)
        self.lost = self.passed = 0
        self._inner = _bound()
        self._ports: dict[Address, socket.socket] = {}  # by the server's address: where the client meets it
        self._client: Address | None = None
        self._front = _bound()
        self.address: Address = self._front.getsockname()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        for sock in (self._front, self._inner, *self._ports.values()):
            sock.close()

    def _run(self) -> None:
        while not self._is_over.is_set():
            sockets = (self._inner, self._front, *self._ports.values())
            for ready in select.select(sockets, [], [], _LOOK_S)[0]:
                self._pass_on(ready)

    def _pass_on(self, ready: socket.socket) -> None:
        data, sender = ready.recvfrom(65536)
        if self._random.random() < self._loss:
            self.lost += 1
            return
        self.passed += 1
        if ready is self._inner:
            if self._client is not None:
                self._meeting_point(sender).sendto(data, self._client)
        elif ready is self._front:
            if sender != self._client:  # another transfer
                self._client = sender
            self._inner.sendto(data, self._server)
        else:
            (server,) = (address for address, sock in self._ports.items() if sock is ready)
            self._inner.sendto(data, server)

    def _meeting_point(self, server: Address) -> socket.socket:
        if server not in self._ports:
            self._ports[server] = _bound()
        return self._ports[server]


def _bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock
