"""The client on ``socketd run`` while the daemon is killed, stopped, replaced: nothing lost or doubled."""

from __future__ import annotations

import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from socketd_client import ApiError, Client
from tests.system.place import await_true
from tests.system.supervised import Supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from socketd_client import Socket

BOUND_S = 60.0
LOOPBACK = ("127.0.0.1", 0)
KILLS = 4


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """One supervisor for the module's tests, with a keeper and a daemon."""
    supervised = Supervised(tmp_path_factory.mktemp("run"))
    try:
        supervised.await_up()
        yield supervised
        supervised.stop()
    finally:
        supervised.kill()


@pytest.fixture
def client(house: Supervised) -> Iterator[Client]:
    """Close what a test made; a daemon that starts on two busy cores has time enough."""
    with Client(f"unix://{house.place.api}", timeout_s=BOUND_S) as client:
        yield client
        for sock in client.sockets.list():
            sock.close()


def kill_worker(house: Supervised) -> None:
    house.signal(signal.SIGKILL, "worker")


def stop_daemon(house: Supervised) -> None:
    """As its manager does; the supervisor starts another."""
    house.signal(signal.SIGTERM, "master")


def replace_daemon(house: Supervised) -> None:
    """As an upgrade does."""
    house.process.send_signal(signal.SIGUSR1)


ENDS = pytest.mark.parametrize("end", [kill_worker, stop_daemon, replace_daemon])


def end_and_see(house: Supervised, client: Client, end: Callable[[Supervised], None]) -> None:
    """End the daemon; block until another one serves."""
    before = client.info().pid
    end(house)
    await_true(lambda: client.info().pid != before, lambda: house.log)
    house.await_up()


@ENDS
def test_accept_that_waits_goes_on(house: Supervised, client: Client, end: Callable[[Supervised], None]):
    listener = client.sockets.create(name="waited", bind=LOOPBACK, listen=True)
    listener.settimeout(BOUND_S)
    with ThreadPoolExecutor(1) as pool:
        accepting = pool.submit(listener.accept)
        end_and_see(house, client, end)
        with socket.create_connection(listener.snapshot.local.as_tuple()) as near:  # type: ignore[union-attr, arg-type]
            near.sendall(b"hello")
            accepted, peer = accepting.result(BOUND_S)
            assert peer == near.getsockname()
            assert accepted.recv(5) == b"hello"
    assert listener.info().kept == "supervisor"


@ENDS
def test_what_is_made_meanwhile_is_made_once(
    house: Supervised, client: Client, end: Callable[[Supervised], None]
):
    def make() -> list[Socket]:
        made: list[Socket] = []
        while not is_over.is_set() or not made:
            made += [client.sockets.create(), *client.sockets.create_many(2), *client.sockets.pair()]
            with socket.socket() as mine:
                made.append(client.give(mine))
        return made

    is_over = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        making = [pool.submit(make) for _ in range(2)]
        try:
            for _ in range(KILLS):
                end_and_see(house, client, end)
        finally:
            is_over.set()
        made = [sock for one in making for sock in one.result(BOUND_S)]
    cookies = {sock.cookie for sock in made}
    assert len(cookies) == len(made)
    assert {sock.cookie for sock in client.sockets.list()} == cookies


def test_connections_are_accepted_once_each(house: Supervised, client: Client):
    def accept() -> None:
        while len(found) < count:
            accepted, _ = listener.accept()
            # The descriptor itself: bytes of a recv over HTTP that breaks are not asked for again.
            with accepted.take(blocking=True) as mine:
                mine.settimeout(BOUND_S)
                found.append(mine.recv(16))

    found: list[bytes] = []
    count = 100
    listener = client.sockets.create(bind=LOOPBACK, listen=128)
    listener.settimeout(BOUND_S)
    with ExitStack() as peers, ThreadPoolExecutor(1) as pool:
        accepting = pool.submit(accept)
        for nth in range(count):
            if nth % (count // KILLS) == 0:
                # What a daemon has accepted and not stored ends with it, microseconds later: not now.
                await_true(lambda nth=nth: len(found) == nth, lambda: f"{found}\n{house.log}")  # type: ignore[misc]
                kill_worker(house)
            near = peers.enter_context(socket.create_connection(listener.getsockname()))  # type: ignore[arg-type]
            near.sendall(b"%d" % nth)
        accepting.result(BOUND_S)
    assert found == [b"%d" % nth for nth in range(count)]
    assert len(list(client.sockets.list(state="listening"))) == 1


def test_connect_that_waits_goes_on(house: Supervised, client: Client):
    sock = client.sockets.create()
    sock.settimeout(BOUND_S)
    with socket.socket() as listener, ThreadPoolExecutor(1) as pool:
        listener.bind(LOOPBACK)
        listener.listen(0)
        with socket.create_connection(listener.getsockname()):  # the queue is full: the next SYN is dropped
            connecting = pool.submit(sock.connect, listener.getsockname())
            await_true(lambda: client.sockets.get(sock.fd).snapshot.state == "connecting", lambda: house.log)
            end_and_see(house, client, kill_worker)
            assert not connecting.done()
            listener.accept()[0].close()
            connecting.result(BOUND_S)
            accepted, peer = listener.accept()
            with accepted:
                assert sock.getsockname() == peer


@pytest.mark.parametrize("is_told", [False, True], ids=["killed", "stopped"])
def test_closed_is_closed(house: Supervised, client: Client, is_told: bool):  # noqa: FBT001 - a test's parameter
    sock = client.sockets.create()
    end_and_see(house, client, stop_daemon if is_told else kill_worker)
    sock.close()
    end_and_see(house, client, kill_worker)
    with pytest.raises(OSError, match="EBADF"):
        client.sockets.get(sock.fd)


def test_name_that_persists_is_listed_ended_and_deleted(house: Supervised, client: Client):
    made = client.sockets.create(name="boots", bind=LOOPBACK, listen=True, persist="boot")
    assert made.snapshot.persist == "boot"
    end_and_see(house, client, kill_worker)
    found = client.names.get("boots")
    assert (found.persist, found.socket, found.failure) == ("boot", made.fd, None)
    assert found in client.names.list()
    client.names.delete("boots")
    with pytest.raises(ApiError):
        client.names.get("boots")
    with pytest.raises(OSError, match="EBADF"):
        made.info()
