"""Every call is done exactly once, however often the way to the daemon breaks, delays and doubles it."""

from __future__ import annotations

import itertools
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.client.damage import CALL_S, MIB, damaged, digest, held_numbers, noise
from tests.faults import seeds
from tests.soak import IS_SOAK

if TYPE_CHECKING:
    from pathlib import Path

    from socketd_client import Socket
    from tests.daemon_process import DaemonProcess

SEEDS = pytest.mark.parametrize("seed", seeds(20 if IS_SOAK else 3))
ROUNDS = 200 if IS_SOAK else 25
MESSAGES = 2000 if IS_SOAK else 150
CONNECTIONS = 300 if IS_SOAK else 40
BYTES = (100 if IS_SOAK else 4) * MIB
LOOPBACK = ("127.0.0.1", 0)

pytestmark = pytest.mark.timeout(1800 if IS_SOAK else 120)


def front(tmp_path: Path, seed: int) -> Path | None:
    """Let every other seed go over TCP."""
    return tmp_path if seed % 2 else None


@SEEDS
def test_sockets_are_made_and_closed_once(daemon: DaemonProcess, tmp_path: Path, seed: int):
    with damaged(daemon, front(tmp_path, seed), seed) as client:
        for nth in range(ROUNDS):
            made = [client.sockets.create(bind=LOOPBACK, listen=True), *client.sockets.pair()]
            made += client.sockets.create_many(3, name=f"many-{nth}")
            made.append(client.sockets.ensure(f"ensured-{nth}", bind=LOOPBACK))
            made[0].setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            made[1].shutdown(socket.SHUT_WR)
            assert held_numbers(daemon) == {sock.fd for sock in made}
            for sock in made:
                sock.close()
    assert held_numbers(daemon) == set()


@SEEDS
def test_connections_are_accepted_once_each(daemon: DaemonProcess, tmp_path: Path, seed: int):
    with damaged(daemon, front(tmp_path, seed), seed) as client, ExitStack() as peers:
        listener = client.sockets.create(bind=LOOPBACK, listen=2 * CONNECTIONS)
        listener.settimeout(CALL_S)
        nears = [
            peers.enter_context(socket.create_connection(listener.getsockname()))  # type: ignore[arg-type]
            for _ in range(CONNECTIONS)
        ]
        found = [listener.accept() for _ in nears]
        assert {peer for _, peer in found} == {near.getsockname() for near in nears}
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()
        assert held_numbers(daemon) == {listener.fd, *(accepted.fd for accepted, _ in found)}
        for sock in (listener, *(accepted for accepted, _ in found)):
            sock.close()
    assert held_numbers(daemon) == set()


@SEEDS
@pytest.mark.parametrize("kind", ["dgram", "seqpacket"])
def test_datagrams_come_once_each_and_in_order(daemon: DaemonProcess, tmp_path: Path, seed: int, kind: str):
    with damaged(daemon, front(tmp_path, seed), seed) as client, ThreadPoolExecutor(1) as pool:
        left, right = client.sockets.pair(type=kind)
        left.settimeout(CALL_S)
        right.settimeout(CALL_S)

        def send() -> None:
            for nth in range(MESSAGES):
                assert left.send(b"%d" % nth) == len(b"%d" % nth)

        sending = pool.submit(send)
        found = [int(right.recv(64)) for _ in range(MESSAGES)]
        sending.result(CALL_S)
        assert found == list(range(MESSAGES))
        right.settimeout(0)
        with pytest.raises(BlockingIOError):
            right.recv(64)
        left.close()
        right.close()


def receive_all(sock: Socket, is_file: bool) -> bytes:  # noqa: FBT001 - a test's parameter
    if is_file:
        with sock.makefile("rb") as file:
            return file.read()
    data = bytearray()
    for _ in itertools.count():
        piece = sock.recv(256 * 1024)
        if not piece:
            return bytes(data)
        data += piece
    raise AssertionError("unreachable")


@SEEDS
@pytest.mark.parametrize("is_file", [False, True], ids=["recv", "makefile"])
def test_bytes_come_once_each_and_in_order(
    daemon: DaemonProcess,
    tmp_path: Path,
    seed: int,
    is_file: bool,  # noqa: FBT001 - a test's parameter
):
    data = noise(BYTES, seed)
    with damaged(daemon, front(tmp_path, seed), seed) as client, ThreadPoolExecutor(1) as pool:
        left, right = client.sockets.pair()
        left.settimeout(CALL_S * 10)
        right.settimeout(CALL_S)
        receiving = pool.submit(receive_all, right, is_file)
        left.sendall(data)
        left.shutdown(socket.SHUT_WR)
        assert digest(receiving.result(CALL_S * 10)) == digest(data)
        left.close()
        right.close()


@SEEDS
def test_eight_threads_of_one_client_do_each_thing_once(daemon: DaemonProcess, tmp_path: Path, seed: int):
    def talk(nth: int) -> str:
        left, right = client.sockets.pair()
        left.settimeout(CALL_S)
        right.settimeout(CALL_S)
        data = noise(256 * 1024, seed * 100 + nth)
        sending = threading.Thread(target=lambda: (left.sendall(data), left.close()))
        sending.start()
        found = receive_all(right, is_file=False)
        sending.join(CALL_S)
        right.close()
        return "same" if digest(found) == digest(data) else f"{len(found)} of {len(data)} bytes"

    with damaged(daemon, front(tmp_path, seed), seed) as client, ThreadPoolExecutor(8) as pool:
        assert set(pool.map(talk, range(16))) == {"same"}
    assert held_numbers(daemon) == set()
