"""The selector over TCP and TLS, and while the daemon is killed, stopped, replaced."""

from __future__ import annotations

import re
import selectors
import signal
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from socketd_client import Client, Selector, Trust
from tests.certificates import Authority
from tests.system.place import await_true
from tests.system.supervised import Supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.daemon_process import DaemonProcess

BOUND_S = 60.0
TOKEN = "secret-of-the-test"
READ = selectors.EVENT_READ


def found_in_one_wait(client: Client) -> None:
    """See a held and a local socket wake selects that wait for both."""
    mine, waker = socket.socketpair()
    one, other = client.sockets.pair()
    with mine, waker, one, other, Selector(client) as selector:
        selector.register(one, READ, "held")
        selector.register(mine, READ, "local")
        for _ in range(3):
            for send, name in ((waker.send, "local"), (other.send, "held")):
                timer = threading.Timer(0.02, send, [b"x"])
                timer.start()
                ((key, _),) = selector.select(BOUND_S)
                assert key.data == name
                timer.join(BOUND_S)
                assert (mine if name == "local" else one).recv(10) == b"x"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_held_and_local_are_found_over_tcp(
    tmp_path: Path, fresh_daemon: Callable[..., DaemonProcess], scheme: str
):
    flags, trust = ["--tcp", "127.0.0.1:0"], None
    if scheme == "https":
        authority = Authority(tmp_path / "ca")
        pair = authority.issue("server", "server")
        flags += ["--tls-certificate", pair.certificate, "--tls-key", pair.key]
        trust = Trust(ca=authority.certificate)
    daemon = fresh_daemon(*flags, environ={"SOCKETD_TOKEN": TOKEN})
    daemon.await_log(f"{scheme}://")
    url = re.search(rf"{scheme}://127\.0\.0\.1:[0-9]+", daemon.log)
    assert url is not None
    with Client(url[0], token=TOKEN, trust=trust) as client:
        found_in_one_wait(client)


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


def kill_worker(house: Supervised) -> None:
    house.signal(signal.SIGKILL, "worker")


def stop_daemon(house: Supervised) -> None:
    """As its manager does; the supervisor starts another."""
    house.signal(signal.SIGTERM, "master")


def replace_daemon(house: Supervised) -> None:
    """As an upgrade does."""
    house.process.send_signal(signal.SIGUSR1)


@pytest.mark.parametrize("end", [kill_worker, stop_daemon, replace_daemon])
@pytest.mark.parametrize("beside", [0, 1])
def test_select_that_waits_outlives_the_daemon(
    house: Supervised, end: Callable[[Supervised], None], beside: int
):
    mine, waker = socket.socketpair()
    with mine, waker, Client(f"unix://{house.place.api}", timeout_s=BOUND_S) as client:
        one, other = client.sockets.pair()
        with one, other, Selector(client) as selector:
            selector.register(one, READ, "held")
            for local in (mine,)[:beside]:
                selector.register(local, READ, "local")

            def disturb() -> None:
                before = client.info().pid
                end(house)
                await_true(lambda: client.info().pid != before, lambda: house.log)
                house.await_up()
                other.send(b"x")

            thread = threading.Thread(target=disturb)
            thread.start()
            assert [key.data for key, _ in selector.select(BOUND_S)] == ["held"]
            thread.join(BOUND_S)
            assert one.recv(1) == b"x"
