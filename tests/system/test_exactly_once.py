"""Files through held connections, and daemons that die, behind a proxy that breaks many requests.

Short in ``make test``; ``make soak`` sends 100 MB each way and takes more seeds.
"""

from __future__ import annotations

import hashlib
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from operator import gt
from typing import TYPE_CHECKING

import pytest

from socketd_client import Client
from tests.client.damage import CALL_S, MIB, damaged, digest, noise
from tests.daemon_process import running_daemon
from tests.faults import seeds
from tests.faulty_proxy import FaultyProxy
from tests.soak import IS_SOAK
from tests.system.place import await_true
from tests.system.supervised import Supervised

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from socketd_client import Socket
    from tests.daemon_process import DaemonProcess

SEEDS = pytest.mark.parametrize("seed", seeds(10 if IS_SOAK else 1))
BYTES = (100 if IS_SOAK else 16) * MIB
OFTEN = 0.5  # a file is few requests
KILLS = 12 if IS_SOAK else 3
TRANSFER_S = 1500.0
LOOPBACK = ("127.0.0.1", 0)

pytestmark = pytest.mark.timeout(1800 if IS_SOAK else 120)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with running_daemon(tmp_path_factory.mktemp("daemon")) as process:
        yield process


def receive_all(sock: Socket | socket.socket) -> str:
    found = hashlib.blake2b(digest_size=16)
    for piece in iter(lambda: sock.recv(1 << 20), b""):
        found.update(piece)
    return found.hexdigest()


@SEEDS
@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_files_go_both_ways_at_once_unchanged(daemon: DaemonProcess, tmp_path: Path, seed: int, way: str):
    there, back = noise(BYTES, seed), noise(BYTES, seed + 1)
    folder = tmp_path if way == "unix" else None
    with damaged(daemon, folder, seed, probability=OFTEN) as client, ThreadPoolExecutor(3) as pool:
        listener = client.sockets.create(bind=LOOPBACK, listen=True)
        with socket.create_connection(listener.getsockname()) as near:  # type: ignore[arg-type]
            held, _ = listener.accept()
            held.settimeout(TRANSFER_S)

            def send_back() -> None:
                near.sendall(back)
                near.shutdown(socket.SHUT_WR)

            sending = pool.submit(send_back)
            arriving = pool.submit(receive_all, near)
            coming = pool.submit(receive_all, held)
            held.sendall(there)
            held.shutdown(socket.SHUT_WR)
            assert arriving.result(TRANSFER_S) == digest(there)
            assert coming.result(TRANSFER_S) == digest(back)
            sending.result(TRANSFER_S)
        held.close()
        listener.close()


@SEEDS
def test_files_go_both_ways_unchanged_by_makefile(daemon: DaemonProcess, tmp_path: Path, seed: int):
    data = noise(BYTES // 4, seed)
    with damaged(daemon, tmp_path, seed, probability=OFTEN) as client, ThreadPoolExecutor(1) as pool:
        left, right = client.sockets.pair()
        left.settimeout(TRANSFER_S)
        right.settimeout(TRANSFER_S)

        def write() -> None:
            with left.makefile("wb") as file:
                file.write(data)
            left.shutdown(socket.SHUT_WR)

        writing = pool.submit(write)
        with right.makefile("rb") as file:
            assert digest(file.read()) == digest(data)
        writing.result(TRANSFER_S)
        left.close()
        right.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Supervised]:
    """Give a supervisor with a keeper and a daemon."""
    supervised = Supervised(tmp_path)
    try:
        supervised.await_up()
        yield supervised
        supervised.stop()
    finally:
        supervised.kill()


@SEEDS
def test_what_is_made_and_closed_while_daemons_are_killed_is_so_once(house: Supervised, seed: int):
    def work(nth: int) -> list[Socket]:
        left: list[Socket] = []
        while not is_over.is_set() or not left:
            made = [*client.sockets.pair(), client.sockets.create(bind=LOOPBACK, listen=True)]
            made += client.sockets.create_many(2)
            left.append(made.pop())
            for sock in made:
                sock.close()
            rounds[nth] += 1
        return left

    rounds = [0, 0]
    is_over = threading.Event()
    with (
        Client(f"unix://{house.place.api}", timeout_s=CALL_S) as direct,
        FaultyProxy(str(house.place.api), None, seed) as proxy,
        Client(proxy.url, timeout_s=CALL_S) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        working = [pool.submit(work, nth) for nth in range(2)]
        try:
            for _ in range(KILLS):
                before = direct.info().pid
                house.signal(signal.SIGKILL, "worker")
                await_true(lambda before=before: direct.info().pid != before, lambda: house.log)  # type: ignore[misc]
                house.await_up()
                # A call may be lost with a few daemons only: each worker gets on before the next one dies.
                before_rounds = list(rounds)
                await_true(lambda was=before_rounds: all(map(gt, rounds, was)), lambda: house.log)  # type: ignore[misc]
        finally:
            is_over.set()
        left = [sock for one in working for sock in one.result(CALL_S)]
        assert {sock.cookie for sock in direct.sockets.list()} == {sock.cookie for sock in left}
