"""What runs out, runs out for whoever asks for more; others are served, and all is well again after."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from tests.soak import IS_SOAK
from tests.system import hogs

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tests.daemon_process import DaemonProcess

    Fresh = Callable[..., DaemonProcess]

FEW = ("--descriptors", "200")
CROWD = min(10_000, hogs.MOST_CONNECTIONS) if IS_SOAK else 3_000  # idle clients
DEATHS = 500 if IS_SOAK else 60

pytestmark = pytest.mark.timeout(300)


def until(holds: Callable[[], bool]) -> None:
    """Look again, for a bounded time, until something holds."""
    deadline = time.monotonic() + hogs.PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it does not come"


def fill(daemon: DaemonProcess) -> list[int]:
    """Make sockets until there is no descriptor for another."""
    made: list[int] = []
    for _ in range(1000):
        told = daemon.request("POST", "/v1/sockets", hogs.LISTENING)
        if told.status != 201:
            hogs.check_hungry(told)
            return made
        made.append(told.json()["fd"])
    raise AssertionError("it is never full")


def test_full_table_refuses_creates_and_goes_on_with_the_rest(fresh_daemon: Fresh) -> None:
    daemon = fresh_daemon(*FEW, "--number-rest-s", "0")
    made = fill(daemon)
    for fd in made:
        assert daemon.request("GET", f"/v1/sockets/{fd}").status == 200
    hogs.check_hungry(daemon.request("POST", "/v1/socketpairs"))
    hogs.check_hungry(daemon.request("POST", "/v1/sockets", {**hogs.LISTENING, "count": 9}))
    assert len(daemon.request("GET", "/v1/sockets").json()["sockets"]) == len(made)
    for fd in made[:10]:
        assert daemon.request("DELETE", f"/v1/sockets/{fd}").status == 204
    for _ in range(10):
        assert daemon.request("POST", "/v1/sockets", hogs.LISTENING).status == 201
    hogs.check_hungry(daemon.request("POST", "/v1/sockets", hogs.LISTENING))
    daemon.stop()


def test_idle_connections_give_way_in_a_full_table(fresh_daemon: Fresh) -> None:
    daemon = fresh_daemon(*FEW)
    made = fill(daemon)
    with hogs.idle(daemon, 300):
        for fd in made:
            assert daemon.request("GET", f"/v1/sockets/{fd}").status == 200
        for fd in made:
            assert daemon.request("DELETE", f"/v1/sockets/{fd}").status == 204
        hogs.check_served(daemon)
    hogs.check_served(daemon)
    daemon.stop()


def test_connections_that_are_all_in_use_have_others_come_again(fresh_daemon: Fresh) -> None:
    daemon = fresh_daemon("--max-connections", "8")
    fd = daemon.request("POST", "/v1/sockets", hogs.LISTENING).json()["fd"]
    waiting = b"POST /v1/sockets/%d/accept HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" % fd
    body = b'{"timeout": 60}'
    with contextlib.ExitStack() as stack:
        hogging: list[socket.socket] = []

        def is_full() -> bool:
            """Hog one more: one that is connected and idle may have had to make room for another."""
            hogging.append(stack.enter_context(hogs.connected(daemon)))
            with contextlib.suppress(ConnectionError):  # it is the one that there is no room for
                hogging[-1].sendall(waiting + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            return daemon.request("GET", "/healthz").status != 200

        until(is_full)
        told = daemon.request("GET", "/healthz")
        hogs.check_hungry(told)
        assert told.json()["code"] == "too_many_connections"
        for client in hogging:
            client.close()
        until(lambda: daemon.request("GET", "/healthz").status == 200)  # the daemon has seen it leave
    daemon.stop()


def test_crowd_of_idle_clients_leaves_every_request_answered(fresh_daemon: Fresh) -> None:
    daemon = fresh_daemon()
    with hogs.idle(daemon, CROWD) as crowd:
        hogs.check_served(daemon, 50)
        assert not any(hogs.is_ended(client) for client in crowd)
        crowd[0].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert hogs.answer(crowd[0])[0] == 200
    hogs.check_served(daemon)
    daemon.stop()


DYING = {
    "before": b"",
    "in its head": b"POST /v1/sockets HT",
    "in its body": b"POST /v1/sockets HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
    "before its answer": b"GET /v1/process/fds HTTP/1.1\r\nHost: x\r\n\r\n",
}


def test_clients_that_die_leave_nothing_behind(fresh_daemon: Fresh) -> None:
    daemon = fresh_daemon()
    fd = daemon.request("POST", "/v1/sockets", hogs.LISTENING).json()["fd"]
    ways = [
        *DYING.values(),
        b"POST /v1/sockets/%d/accept?timeout=60 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" % fd,
        b"POST /v1/sockets/%d/take HTTP/1.1\r\nHost: x\r\nAccept-Descriptors: yes\r\n"
        b"Content-Length: 0\r\n\r\n" % fd,
    ]
    before = len(daemon.descriptors())
    for count in range(DEATHS):
        with hogs.connected(daemon) as client:
            client.sendall(ways[count % len(ways)])
        hogs.check_served(daemon, 1)
    until(lambda: len(daemon.descriptors()) <= before)  # the last of them is being closed
    listed = daemon.request("GET", "/v1/sockets").json()["sockets"]
    assert [each["fd"] for each in listed] == [fd]
    daemon.stop()


def test_look_at_thousands_of_descriptors_shows_all_of_them(fresh_daemon: Fresh) -> None:
    daemon = fresh_daemon()
    with hogs.idle(daemon, 2_000):
        hogs.check_served(daemon, 1)
        assert len(daemon.descriptors()) > 2_000
    daemon.stop()
