"""Many at once through one daemon: no bytes cross over, bulk is all or nothing, nothing leaks."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.soak import IS_SOAK

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.daemon_process import DaemonProcess

THREADS = 8
ROUNDS = 100 if IS_SOAK else 12
BULK = 2000
BOUND_S = 30.0
ANY_PORT = {"host": "127.0.0.1", "port": 0}


def ask(daemon: DaemonProcess, method: str, path: str, body: Any = None) -> Any:
    answer = daemon.request(method, path, body, {"Accept": "application/json"})
    assert answer.status < 300, answer.body
    return answer.json() if answer.body else None


def in_threads(work: Callable[[int], Any]) -> list[Any]:
    """Run ``work`` in eight threads that start together; give what each returned."""
    barrier = threading.Barrier(THREADS)

    def begin(nth: int) -> Any:
        barrier.wait()
        return work(nth)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


def test_bytes_do_not_cross_over(daemon):
    def talk(nth: int) -> None:
        left, right = (one["fd"] for one in ask(daemon, "POST", "/v1/socketpairs")["sockets"])
        for turn in range(ROUNDS):
            sent = f"thread {nth} turn {turn} " * 20
            ask(daemon, "POST", f"/v1/sockets/{left}/send", {"text": sent})
            answer = ask(daemon, "POST", f"/v1/sockets/{right}/recv", {"timeout": 10})
            assert answer["messages"][0]["text"] == sent
        for fd in (left, right):
            ask(daemon, "DELETE", f"/v1/sockets/{fd}")

    in_threads(talk)


def test_each_waiting_accept_gets_a_connection_of_its_own(daemon):
    made = ask(daemon, "POST", "/v1/sockets", {"bind": ANY_PORT, "listen": True})
    path = f"/v1/sockets/{made['fd']}/accept"

    def take(_nth: int) -> dict[str, Any]:
        with socket.create_connection(("127.0.0.1", made["local"]["port"])) as peer:
            accepted: dict[str, Any] = ask(daemon, "POST", path, {"timeout": 30})["sockets"][0]
            assert peer
            return accepted

    accepted = in_threads(take)
    assert len({one["fd"] for one in accepted}) == len({one["peer"]["port"] for one in accepted}) == THREADS
    for fd in (made["fd"], *(one["fd"] for one in accepted)):
        ask(daemon, "DELETE", f"/v1/sockets/{fd}")


def test_numbers_rise_and_are_given_once(daemon):
    def churn(_nth: int) -> list[int]:
        given = []
        for _ in range(ROUNDS):
            given.append(ask(daemon, "POST", "/v1/sockets", {})["fd"])
            ask(daemon, "DELETE", f"/v1/sockets/{given[-1]}")
        return given

    by_thread = in_threads(churn)
    assert all(given == sorted(given) for given in by_thread)
    numbers = [fd for given in by_thread for fd in given]
    assert len(numbers) == len(set(numbers))


def test_one_of_many_gets_the_name(daemon):
    answers = in_threads(lambda _nth: daemon.request("POST", "/v1/sockets", {"name": "wanted"}))
    assert sorted(answer.status for answer in answers) == [201, *[409] * (THREADS - 1)]
    ask(daemon, "DELETE", "/v1/sockets/wanted")
    answers = in_threads(lambda _nth: daemon.request("PUT", "/v1/names/wanted", {"bind": ANY_PORT}))
    assert sorted(answer.status for answer in answers) == [*[200] * (THREADS - 1), 201]
    assert len({answer.json()["cookie"] for answer in answers}) == 1
    ask(daemon, "DELETE", "/v1/sockets/wanted")


def test_bulk_with_one_that_fails_leaves_nothing(daemon):
    ask(daemon, "POST", "/v1/sockets", {"name": f"many.{BULK - 1}"})
    before = len(daemon.descriptors())
    answer = daemon.request("POST", "/v1/sockets", {"name": "many", "count": BULK})
    assert (answer.status, answer.json()["index"]) == (409, BULK - 1)
    await_no_more_than(daemon, before)
    ask(daemon, "DELETE", f"/v1/sockets/many.{BULK - 1}")


def test_bulk_makes_all_while_others_are_answered(daemon):
    with ThreadPoolExecutor(1) as pool:
        bulk = pool.submit(
            ask, daemon, "POST", "/v1/sockets", {"name": "many", "count": BULK, "type": "dgram"}
        )
        while not bulk.done():
            ask(daemon, "GET", "/healthz")
        made = bulk.result()["sockets"]
    assert [one["name"] for one in made] == [f"many.{nth}" for nth in range(BULK)]
    assert len({one["cookie"] for one in made}) == BULK
    in_threads(lambda nth: [ask(daemon, "DELETE", f"/v1/sockets/{one['fd']}") for one in made[nth::THREADS]])


def test_bulk_beyond_what_is_allowed_is_refused(daemon):
    limits = ask(daemon, "GET", "/v1/")["limits"]
    answer = daemon.request("POST", "/v1/sockets", {"count": limits["count"] + 1})
    assert answer.status == 422
    assert set(answer.json()["members"]) == {"count"}


@pytest.mark.parametrize("how", ["closed", "refused", "killed"])
def test_nothing_is_left_open_after_a_mixed_run(daemon, how):
    ask(daemon, "GET", "/v1/addrinfo?host=localhost&service=1")  # the resolver's threads begin with it
    before = len(daemon.descriptors())

    def live(nth: int) -> None:
        for _ in range(ROUNDS):
            run_through(daemon, how, nth)

    in_threads(live)
    assert ask(daemon, "GET", "/v1/")["sockets"] == 0
    await_no_more_than(daemon, before)


def await_no_more_than(daemon: DaemonProcess, count: int) -> None:
    """Block until so few descriptors are open: the daemon closes connections after their clients did."""
    deadline = time.monotonic() + BOUND_S
    while len(found := daemon.descriptors()) > count:
        assert time.monotonic() < deadline, found


def run_through(daemon: DaemonProcess, how: str, nth: int) -> None:
    """Lead sockets through a short life that ends in one of three ways."""
    if how == "refused":
        assert (
            daemon.request("POST", "/v1/sockets", {"bind": "192.0.2.77:0", "name": f"r{nth}"}).status == 422
        )
        assert daemon.request("POST", "/v1/sockets", {"connect": "/nowhere.sock"}).status == 422
        return
    listener = ask(daemon, "POST", "/v1/sockets", {"bind": ANY_PORT, "listen": True})
    near = ask(daemon, "POST", "/v1/sockets", {"connect": listener["local"]["text"]})
    (far,) = ask(daemon, "POST", f"/v1/sockets/{listener['fd']}/accept", {"timeout": 10})["sockets"]
    if how == "killed":
        connection = daemon.connection()
        connection.request("POST", f"/v1/sockets/{far['fd']}/recv?timeout=60")
        connection.close()  # right away: the daemon may or may not have begun to wait
    ask(daemon, "POST", f"/v1/sockets/{near['fd']}/send", {"text": "x"})
    for one in (listener, near, far):
        ask(daemon, "DELETE", f"/v1/sockets/{one['fd']}?shutdown=true")
