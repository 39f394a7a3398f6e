"""A worker that is killed between accept4 and the moment in which the keeper has the connection."""

from __future__ import annotations

import http.client
import os
import random
import secrets
import signal
import subprocess
import threading
from contextlib import ExitStack, closing, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.daemon_process import STOP_S, UnixConnection
from tests.soak import IS_SOAK
from tests.system.deaths import await_others
from tests.system.place import PATIENCE_S, await_true
from tests.system.supervised import Supervised

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.place import Place

KILLS = 150 if IS_SOAK else 5
VISITORS = 100  # whose connections one request accepts, which takes some 20 ms
AIM_S = 0.03
HOLD_US = 300_000_000  # strace's longest is a little more; the kill comes in milliseconds

# Where strace holds the worker. A kill there used to lose the connection, or could now double it.
MOMENTS = {
    "accepted": f"accept4:delay_exit={HOLD_US}",
    "about to send": f"sendmsg:delay_enter={HOLD_US}",
    "sent": f"sendmsg:delay_exit={HOLD_US}",
}


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """Start a supervised daemon; it ends well."""
    started = Supervised(tmp_path_factory.mktemp("kill"))
    try:
        started.await_up()
        yield started
        started.stop()
    finally:
        started.kill()


@pytest.mark.needs("strace")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("moment", MOMENTS)
def test_connection_that_is_being_accepted_survives_its_worker(house: Supervised, moment: str):
    listener, address = listen(house.place)
    path, key = f"/v1/sockets/{listener}/accept", {"Idempotency-Key": secrets.token_hex()}
    with connected(house.place) as connection, house.place.connect(address) as visitor:
        before = house.processes()
        with held_at(before["worker"], MOMENTS[moment]) as worker:
            connection.request("POST", path, b"{}", {"Content-Type": "application/json", **key})
            await_true(lambda: queued(address) == 0, lambda: f"it is not accepted:\n{house.log}")
            await_true(lambda: is_held(worker), lambda: f"nothing stops it:\n{house.log}")
            os.kill(worker, signal.SIGKILL)
        await_others(house, before, {"worker"})
        (held,) = insist(house, path, {}, key)
        greet(house.place, held)
        assert visitor.recv(64) == greeting(held)
    (left,) = house.place.ask("GET", "/v1/sockets")["sockets"]
    assert left["fd"] == listener  # so it was there once


@pytest.mark.timeout(120 + 10 * KILLS)
def test_kills_aimed_at_arrivals_lose_and_double_nobody(house: Supervised):
    seed = int(os.environ.get("SOCKETD_STORM_SEED") or secrets.randbits(32))
    rng = random.Random(seed)
    listener, address = listen(house.place)
    for turn in range(KILLS):
        with ExitStack() as stack:
            visitors = [stack.enter_context(house.place.connect(address)) for _ in range(VISITORS)]
            killer = threading.Thread(target=kill_later, args=(house, rng.random() * AIM_S))
            killer.start()
            held = accept_all(house, listener)
            killer.join()
            house.await_up()
            told = f"SOCKETD_STORM_SEED={seed}, kill {turn}\n{house.log}"
            expected = sorted(visitor.getsockname()[1] for visitor in visitors)
            assert sorted(one["peer"]["port"] for one in held) == expected, told
            greetings = {one["peer"]["port"]: greet(house.place, one) for one in held}
            for visitor in visitors:
                assert visitor.recv(64) == greetings[visitor.getsockname()[1]], told
    (left,) = house.place.ask("GET", "/v1/sockets")["sockets"]
    assert left["fd"] == listener


def listen(place: Place) -> tuple[int, tuple[str, int]]:
    """Make a listener; return its number and address."""
    wanted = {"bind": "127.0.0.1:0", "listen": {"backlog": VISITORS}}
    made = place.ask("POST", "/v1/sockets", wanted, status=201)
    return made["fd"], (made["local"]["host"], made["local"]["port"])


def insist(house: Supervised, path: str, body: Any, key: dict[str, str]) -> list[Any]:
    """Accept, until it is answered whatever dies meanwhile; return the connections."""
    found: list[Any] = []

    def is_answered() -> bool:
        try:
            answer = house.place.request("POST", path, body, key)
        except (OSError, http.client.HTTPException):
            return False
        if answer.status == HTTPStatus.CREATED:
            found.extend(answer.json()["sockets"])
        return answer.status != HTTPStatus.SERVICE_UNAVAILABLE

    await_true(is_answered, lambda: f"it is not answered:\n{house.log}")
    return found


def accept_all(house: Supervised, listener: int) -> list[Any]:
    """Accept until nobody comes; a request that was cut off is repeated, and so answered in full."""
    found: list[Any] = []
    while True:
        key = {"Idempotency-Key": secrets.token_hex()}
        came = insist(house, f"/v1/sockets/{listener}/accept", {"max": VISITORS, "timeout": 0.5}, key)
        found += came
        if not came or len(found) >= VISITORS:
            return found


def greeting(held: Any) -> bytes:
    return f"you are {held['fd']}".encode()


def greet(place: Place, held: Any) -> bytes:
    """Say something over a connection that is held, and close it; return what was said."""
    path = f"/v1/sockets/{held['fd']}"
    place.ask("POST", f"{path}/send", {"text": greeting(held).decode()})
    place.ask("DELETE", path, status=204)
    return greeting(held)


def kill_later(house: Supervised, seconds: float) -> None:
    """Kill the worker at that moment of its work."""
    threading.Event().wait(seconds)
    kill_worker(house)


def kill_worker(house: Supervised) -> None:
    """Kill it, and wait for its successor."""
    before = house.processes()
    house.signal(signal.SIGKILL, "worker")
    await_others(house, before, {"worker"})


@contextmanager
def connected(place: Place) -> Iterator[UnixConnection]:
    """Open a connection to the API that has been answered once, and so is accepted."""
    with closing(UnixConnection(place.api, PATIENCE_S)) as connection:
        connection.request("GET", "/v1/")
        assert connection.getresponse().read()
        yield connection


@contextmanager
def held_at(pid: int, injection: str) -> Iterator[int]:
    """Have the process stop at its next such call; who has killed it there then leaves, for it to be dead."""
    command = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject={injection}", "-p", str(pid)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as strace:
        try:
            await_true(lambda: status(pid, "TracerPid") != "0", lambda: "strace does not attach")
            yield pid
        finally:
            strace.kill()  # it would have the dead wait for its end as well
            strace.wait(STOP_S)


def is_held(pid: int) -> bool:
    """Whether it stands where it is to stand, and not on its way from one stop of strace's to the next."""
    before = (status(pid, "State"), status(pid, "voluntary_ctxt_switches"))
    threading.Event().wait(0.05)
    return before[0].startswith("t") and before == (
        status(pid, "State"),
        status(pid, "voluntary_ctxt_switches"),
    )


def status(pid: int, name: str) -> str:
    """Return a line of proc_pid_status(5)."""
    text = Path(f"/proc/{pid}/status").read_text()
    return next(line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(f"{name}:"))


def queued(address: tuple[str, int]) -> int:
    """Count the connections that nobody has accepted; asked of the kernel, since the worker stands still."""
    port = f"{address[1]:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, queues, *_ = line.split()
        if local.endswith(f":{port}") and state == "0A":  # TCP_LISTEN
            return int(queues.partition(":")[2], 16)
    raise AssertionError(f"nobody listens on {address}")
