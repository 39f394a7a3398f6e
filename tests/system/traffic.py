"""Steady traffic on held sockets: every visitor is answered once, whatever dies meanwhile."""

from __future__ import annotations

import hashlib
import itertools
import random
import struct
import threading
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from socketd_client import Client
from tests.system.place import PATIENCE_S
from tests.system.sender import Sender

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tests.system.place import Place

ANYWHERE = ("127.0.0.1", 0)
HEAD = struct.Struct("=QI")  # who it is, and how many bytes follow
DIGEST_BYTES = hashlib.sha256().digest_size
MOST_BYTES = 200_000
VISITORS = 2  # of each listener
PAUSE_S = 0.02  # between two visits and between two reads: the processors are for the daemon
WAIT_S = 0.5  # how long one accept waits before it looks whether it is still wanted


class Traffic:
    """Two listeners and a long transfer, with threads on both sides of each.

    Connections to the first listener are accepted through the API, and taken. The second is taken itself, and
    accepts without the daemon. The transfer goes over a connection that was accepted by the API and taken.

    Args:
        place: Where the daemon is.
        seed: Of what is sent.

    Attributes:
        visits: The visitors that came.
        failures: What went wrong, in words.
    """

    def __init__(self, place: Place, seed: int) -> None:
        self.visits: set[int] = set()
        self.failures: list[str] = []
        self._served: Counter[int] = Counter()
        self._place = place
        self._seed = seed
        self._opened = ExitStack()
        self._client = self._opened.enter_context(Client(f"unix://{place.api}", timeout_s=PATIENCE_S))
        self._nobody_comes = threading.Event()
        self._nobody_is_there = threading.Event()
        self._visitors: list[threading.Thread] = []
        self._hosts: list[threading.Thread] = []
        self._received = hashlib.sha256()
        self._sender: Sender | None = None

    @property
    def lost(self) -> set[int]:
        """Visitors that nobody served."""
        return self.visits - set(self._served)

    @property
    def doubled(self) -> set[int]:
        """Visitors that were served more than once."""
        return {visitor for visitor, times in self._served.items() if times > 1}

    def start(self) -> None:
        """Make the listeners and let everybody in."""
        accepting, taken = (self._client.sockets.create(bind=ANYWHERE, listen=True) for _ in range(2))
        self._begin_transfer()
        self._run(self._hosts, self._accept_by_api, accepting)
        self._run(self._hosts, self._accept_by_ourselves, self._opened.enter_context(taken.take()))
        for listener, number in itertools.product((accepting, taken), range(VISITORS)):
            rng = random.Random(f"{self._seed} {listener.fd} {number}")
            self._run(self._visitors, self._visit, listener.getsockname(), rng)

    def finish(self) -> None:
        """Let the last visitor be served and the transfer come to its end; harmless when it has."""
        self._nobody_comes.set()
        if self._sender is not None:
            self._sender.finish()
        join(self._visitors)
        self._nobody_is_there.set()
        join(self._hosts)
        if self._sender is not None:
            self._sender.join()
            if (self._sender.failure, self._sender.sent.digest()) != (None, self._received.digest()):
                self.failures.append(f"the long transfer differs: {self._sender.failure}")
        self._opened.close()

    def _run(self, threads: list[threading.Thread], work: Callable[..., None], *arguments: Any) -> None:
        def run() -> None:
            try:
                work(*arguments)
            except Exception as error:  # noqa: BLE001 - told in the end, whatever it is
                self.failures.append(f"{work.__name__}: {error!r}")

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    def _begin_transfer(self) -> None:
        with self._client.sockets.create(bind=ANYWHERE, listen=True) as door:
            peer = self._opened.enter_context(self._place.connect(door.getsockname()))
            accepted, _ = door.accept()
        ours = self._opened.enter_context(accepted.take())
        ours.settimeout(PATIENCE_S)
        self._sender = Sender(peer, str(self._seed))
        self._sender.start()
        self._run(self._hosts, self._read_all, ours)

    def _read_all(self, sock: socket.socket) -> None:
        while piece := sock.recv(65536):
            self._received.update(piece)
            self._nobody_comes.wait(PAUSE_S)

    def _visit(self, address: tuple[str, int], rng: random.Random) -> None:
        while not self._nobody_comes.wait(PAUSE_S):
            visitor = rng.getrandbits(64)
            data = rng.randbytes(rng.randrange(MOST_BYTES))
            self.visits.add(visitor)
            try:
                with self._place.connect(address) as sock:
                    sock.sendall(HEAD.pack(visitor, len(data)) + data)
                    assert receive(sock, DIGEST_BYTES) == hashlib.sha256(data).digest()
            except (OSError, AssertionError) as error:
                self.failures.append(f"visitor {visitor:x} at {address}: {error!r}")

    def _accept_by_api(self, listener: Any) -> None:
        listener.settimeout(WAIT_S)
        while not self._nobody_is_there.is_set():
            try:
                accepted, _ = listener.accept()
            except TimeoutError:
                continue
            with accepted, accepted.take() as sock:
                self._serve(sock)

    def _accept_by_ourselves(self, listener: socket.socket) -> None:
        listener.settimeout(WAIT_S)
        while not self._nobody_is_there.is_set():
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                continue
            with sock:
                self._serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE_S)
        visitor, size = HEAD.unpack(receive(sock, HEAD.size))
        digest = hashlib.sha256(receive(sock, size)).digest()
        self._served[visitor] += 1
        sock.sendall(digest)


def receive(sock: socket.socket, size: int) -> bytes:
    """Receive exactly so many bytes."""
    data = bytearray()
    while len(data) < size:
        piece = sock.recv(size - len(data))
        assert piece, f"the connection ended after {len(data)} of {size} bytes"
        data += piece
    return bytes(data)


def join(threads: list[threading.Thread]) -> None:
    """Wait for all of them."""
    for thread in threads:
        thread.join()
