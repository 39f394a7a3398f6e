"""What waits goes on when its connection is cut again and again, and happens once."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import Client
from socketd_client.calls import TEXT, Call
from tests.client.damage import CALL_S
from tests.cutting_proxy import CuttingProxy
from tests.system.place import await_true

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from socketd_client import Socket
    from tests.daemon_process import DaemonProcess

LOOPBACK = ("127.0.0.1", 0)
CUTS = 3
ROUNDS = 5
NAMES = ["127.0.0.1", "localhost"]


class Waiting:
    """A client whose waits are cut.

    Attributes:
        direct: A client of whom nothing is cut.
    """

    def __init__(self, proxy: CuttingProxy, direct: Client, pool: ThreadPoolExecutor) -> None:
        self.client = Client(proxy.url, timeout_s=CALL_S)
        self.direct = direct
        self._proxy = proxy
        self._pool = pool

    def begin(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Begin something that waits, and cut its connection each time that it does."""
        doing = self._pool.submit(call, *arguments)
        for _ in range(CUTS):
            await_true(lambda: self._waits() == 1, lambda: f"nobody waits: {doing}")
            before = self._proxy.connections
            self._proxy.cut_now()
            await_true(lambda before=before: self._proxy.connections > before, lambda: f"given up: {doing}")  # type: ignore[misc]
        await_true(lambda: self._waits() == 1, lambda: f"nobody waits: {doing}")
        return doing

    def _waits(self) -> int:
        text = self.direct.exchange.send(Call("GET", "/metrics", accept=TEXT)).body.decode()
        (line,) = (line for line in text.splitlines() if line.startswith("socketd_waits "))
        return int(float(line.split()[1]))


@pytest.fixture
def waiting(daemon: DaemonProcess, tmp_path: Path) -> Iterator[Waiting]:
    with (
        CuttingProxy(daemon.socket_path, tmp_path / "front") as proxy,
        Client(daemon.url) as direct,
        ThreadPoolExecutor(1) as pool,
    ):
        made = Waiting(proxy, direct, pool)
        with made.client:
            yield made
        for sock in direct.sockets.list():
            sock.close()


@pytest.fixture
def full_listener() -> Iterator[socket.socket]:
    """Give one whose queue is full: the next SYN is dropped."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.socket())
        listener.bind(LOOPBACK)
        listener.listen(0)
        opened.enter_context(socket.create_connection(listener.getsockname()))
        yield listener


@pytest.mark.parametrize("host", NAMES)
def test_a_connect_that_waits_connects_once(waiting: Waiting, full_listener: socket.socket, host: str):
    sock = waiting.client.sockets.create()
    sock.settimeout(CALL_S)
    connecting = waiting.begin(sock.connect, (host, full_listener.getsockname()[1]))
    full_listener.accept()[0].close()
    connecting.result(CALL_S)
    near, peer = full_listener.accept()
    near.close()
    assert peer == sock.getsockname()
    full_listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        full_listener.accept()


def test_an_accept_that_waits_accepts_once(waiting: Waiting):
    listener = waiting.client.sockets.create(bind=LOOPBACK, listen=True)
    listener.settimeout(CALL_S)
    accepting = waiting.begin(listener.accept)
    with socket.create_connection(listener.getsockname()) as near:  # type: ignore[arg-type]
        accepted, peer = accepting.result(CALL_S)
        assert peer == near.getsockname()
    assert {sock.fd for sock in waiting.direct.sockets.list()} == {listener.fd, accepted.fd}


@pytest.mark.parametrize("kind", ["stream", "dgram", "seqpacket"])
def test_a_recv_that_waits_takes_each_message_once(waiting: Waiting, kind: str):
    left, right = waiting.client.sockets.pair(type=kind)
    right.settimeout(CALL_S)
    receiving = waiting.begin(right.recv, 1)
    sender = waiting.direct.sockets.get(left.fd)
    for each in (b"1", b"2"):
        sender.send(each)
    assert (receiving.result(CALL_S), right.recv(1)) == (b"1", b"2")


def test_a_descriptor_that_one_client_sends_comes_to_another_that_waits(waiting: Waiting):
    left, right = waiting.client.sockets.pair(type="dgram")
    sender = waiting.direct.sockets.get(left.fd)
    right.settimeout(CALL_S)
    receiving = waiting.begin(lambda: [socket.recv_fds(right, 1, 1)[1] for _ in range(ROUNDS)])  # type: ignore[arg-type]
    sent = []
    for _ in range(ROUNDS):
        with socket.create_server(LOOPBACK) as mine:
            sent.append(mine.getsockname())
            socket.send_fds(sender, [b"x"], [mine.fileno()])  # type: ignore[arg-type]
    for (number,), name in zip(receiving.result(CALL_S), sent, strict=True):
        with socket.socket(fileno=number) as came:
            assert came.getsockname() == name
    assert {sock.fd for sock in waiting.direct.sockets.list()} == {left.fd, right.fd}


def test_a_descriptor_that_two_send_at_once_is_sent_by_both(client: Client):
    def send(pair: tuple[Socket, Socket]) -> None:
        for _ in range(ROUNDS):
            socket.send_fds(pair[0], [b"x"], [mine.fileno()])  # type: ignore[arg-type]

    pairs = [client.sockets.pair(type="dgram") for _ in range(2)]
    with socket.create_server(LOOPBACK) as mine, ThreadPoolExecutor(2) as pool:
        list(pool.map(send, pairs))
    for _, right in pairs:
        right.settimeout(0)
        assert [right.recv(8) for _ in range(ROUNDS)] == [b"x"] * ROUNDS
    assert len(list(client.sockets.list())) == len(pairs) * 2


def filled(sock: socket.socket) -> int:
    """Send until there is no room; return how many bytes went."""
    count = 0
    try:
        while True:
            count += sock.send(b"x" * 1000)
    except BlockingIOError:
        return count


@pytest.mark.parametrize("kind", ["stream", "dgram"])
def test_a_send_that_waits_for_room_sends_once(waiting: Waiting, kind: str):
    left, right = waiting.client.sockets.pair(type=kind)
    with left.take() as filling, right.take() as draining:
        count = filled(filling)
        left.settimeout(CALL_S)
        sending = waiting.begin(left.send, b"y" * 1000)
        found = bytearray()
        draining.settimeout(CALL_S)
        while len(found) < count + 1000:
            found += draining.recv(1 << 16)
        assert sending.result(CALL_S) == 1000
        assert found == b"x" * count + b"y" * 1000
        draining.settimeout(0)
        with pytest.raises(BlockingIOError):
            draining.recv(1)
