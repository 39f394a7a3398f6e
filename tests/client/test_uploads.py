"""Long ``sendall``: each byte once over faults and restarts, one deadline, and a local socket's errors."""

from __future__ import annotations

import array
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from socketd_client import Client, ConnectionLostError
from socketd_client.uploads import LEAST_BYTES
from tests.client.damage import MIB, damaged, digest, noise
from tests.client.test_signals import RaisesOnce, handled_by
from tests.faults import seeds
from tests.system.place import await_true
from tests.system.supervised import Supervised

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from socketd_client import Socket
    from tests.daemon_process import DaemonProcess

LONG = 33 * MIB + 5  # two segments and a bit
RESET = b"\x01\0\0\0\0\0\0\0"  # SO_LINGER of no seconds

pytestmark = pytest.mark.timeout(120)


@contextmanager
def connected(client: Client) -> Iterator[tuple[Socket, socket.socket]]:
    """Give a held TCP connection, and its other end here."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        client.sockets.create(connect=listener.getsockname()) as held,
        listener.accept()[0] as peer,
    ):
        peer.settimeout(60)
        held.settimeout(60)
        yield held, peer


def read_all(peer: socket.socket) -> bytearray:
    found = bytearray()
    while piece := peer.recv(1 << 20):
        found += piece
    return found


def answered(daemon: DaemonProcess, status: int) -> int:
    """How many requests the daemon has answered so."""
    lines = daemon.request("GET", "/metrics").body.decode().splitlines()
    found = [line.split()[-1] for line in lines if line.startswith("socketd_") and f'"{status}"' in line]
    return sum(int(float(number)) for number in found)


@pytest.mark.parametrize("size", [LEAST_BYTES - 1, LEAST_BYTES, LONG])
def test_every_byte_arrives(daemon: DaemonProcess, size: int):
    data = noise(size, size)
    with Client(daemon.url) as client, connected(client) as (held, peer), ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_all, peer)
        assert held.sendall(data) is None
        held.shutdown(socket.SHUT_WR)
        assert digest(reading.result(60)) == digest(data)


def test_any_buffer_is_sent_as_its_bytes(daemon: DaemonProcess):
    numbers = array.array("I", range(400_000))
    with Client(daemon.url) as client, connected(client) as (held, peer), ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_all, peer)
        held.sendall(numbers)
        held.sendall(memoryview(numbers)[::2].tobytes())
        held.shutdown(socket.SHUT_WR)
        assert reading.result(60) == numbers.tobytes() + memoryview(numbers)[::2].tobytes()


@pytest.mark.parametrize("seed", seeds(4))
def test_bytes_are_sent_once_over_faults(daemon: DaemonProcess, tmp_path: Path, seed: int):
    data = noise(LONG, seed)
    front = tmp_path if seed % 2 else None
    with (
        Client(daemon.url) as client,
        connected(client) as (held, peer),
        damaged(daemon, front, seed, probability=0.7) as far,
        ThreadPoolExecutor(1) as pool,
    ):
        reading = pool.submit(read_all, peer)
        far.sockets.get(held.fd).sendall(data)
        held.shutdown(socket.SHUT_WR)
        assert digest(reading.result(60)) == digest(data)


def test_deadline_is_for_all_of_it(daemon: DaemonProcess):
    with Client(daemon.url) as client, connected(client) as (held, _):
        held.settimeout(0.3)
        with pytest.raises(TimeoutError, match="timed out"):
            held.sendall(bytes(LONG))


def test_timeout_of_zero_does_not_wait(daemon: DaemonProcess):
    with Client(daemon.url) as client, connected(client) as (held, _):
        held.settimeout(0)
        with pytest.raises(BlockingIOError):
            held.sendall(bytes(LONG))


def test_peer_may_rest_longer_than_http_waits(daemon: DaemonProcess):
    data = noise(LONG, 1)
    before = answered(daemon, 504)
    with Client(daemon.url, timeout_s=0.4) as client, connected(client) as (held, peer):
        held.settimeout(None)
        with ThreadPoolExecutor(2) as pool:
            sending = pool.submit(held.sendall, data)
            await_true(lambda: answered(daemon, 504) > before + 2, lambda: "nothing timed out")
            reading = pool.submit(read_all, peer)
            sending.result(60)
            held.shutdown(socket.SHUT_WR)
            assert digest(reading.result(60)) == digest(data)


def test_reset_is_told_as_by_a_local_socket(daemon: DaemonProcess):
    with Client(daemon.url) as client, connected(client) as (held, peer), ThreadPoolExecutor(1) as pool:
        sending = pool.submit(held.sendall, bytes(LONG))
        assert peer.recv(1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        peer.close()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            sending.result(60)


def test_close_by_another_is_told(daemon: DaemonProcess):
    with Client(daemon.url) as client, connected(client) as (held, peer), ThreadPoolExecutor(1) as pool:
        sending = pool.submit(held.sendall, bytes(LONG))
        assert peer.recv(1)
        with client.sockets.get(held.fd):
            pass
        with pytest.raises(OSError, match="EBADF"):
            sending.result(60)
        held.detach()


def test_handler_that_raises_breaks_out(daemon: DaemonProcess):
    error, is_over = TimeoutError("from a handler"), threading.Event()

    def disturb(peer: socket.socket) -> None:
        peer.recv(1)
        while not is_over.wait(0.02):
            os.kill(os.getpid(), signal.SIGUSR1)

    with handled_by(RaisesOnce(error)), Client(daemon.url) as client, connected(client) as (held, peer):
        disturbing = threading.Thread(target=disturb, args=(peer,))
        disturbing.start()
        try:
            with pytest.raises(TimeoutError) as caught:
                held.sendall(bytes(LONG))
        finally:
            is_over.set()
            disturbing.join()
        assert caught.value is error


def test_several_threads_send_on_their_own_sockets(daemon: DaemonProcess):
    def talk(nth: int) -> bool:
        data = noise(3 * MIB + nth, nth)
        with connected(client) as (held, peer):
            found: list[bytearray] = []
            reading = threading.Thread(target=lambda: found.append(read_all(peer)))
            reading.start()
            held.sendall(data)
            held.shutdown(socket.SHUT_WR)
            reading.join()
            return found == [data]

    with Client(daemon.url) as client, ThreadPoolExecutor(4) as pool:
        assert all(pool.map(talk, range(8)))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Supervised]:
    """A daemon with a keeper, and who starts it again."""
    supervised = Supervised(tmp_path)
    try:
        supervised.await_up()
        yield supervised
        supervised.stop()
    finally:
        supervised.kill()


def begun(house: Supervised, held: Socket, peer: socket.socket, pool: ThreadPoolExecutor) -> Future[None]:
    """Begin an upload that cannot end, since nobody reads more than its first byte."""
    sending = pool.submit(held.sendall, noise(LONG, 2))
    assert peer.recv(1, socket.MSG_PEEK)
    await_true(lambda: house.place.ask("GET", "/v1/caller")["quota"]["waits"]["used"] == 1, lambda: house.log)
    return sending


def test_upload_goes_on_after_a_stop_of_the_daemon(house: Supervised):
    with (
        Client(f"unix://{house.place.api}", timeout_s=60) as client,
        connected(client) as (held, peer),
        ThreadPoolExecutor(2) as pool,
    ):
        sending = begun(house, held, peer, pool)
        house.signal(signal.SIGTERM, "master")
        reading = pool.submit(read_all, peer)
        sending.result(60)
        held.shutdown(socket.SHUT_WR)
        assert digest(reading.result(60)) == digest(noise(LONG, 2))


def test_killed_daemon_leaves_it_unsaid_how_much_was_sent(house: Supervised):
    with Client(f"unix://{house.place.api}", timeout_s=60) as client, connected(client) as (held, peer):
        with ThreadPoolExecutor(1) as pool:
            sending = begun(house, held, peer, pool)
            house.signal(signal.SIGKILL, "worker")
            with pytest.raises(ConnectionLostError):
                sending.result(60)
        house.await_up()
