"""Whoever is slow is given a time, and whoever floods is told so; others are served meanwhile."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import TYPE_CHECKING

import pytest

from tests.system import hogs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.daemon_process import DaemonProcess

    Fresh = Callable[..., DaemonProcess]

SHORT = ("--request-timeout-s", "1")
HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Endless: "
BODY = b"POST /v1/sockets HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(
    ("begun", "endless"),
    [
        (HEAD, b"a"),
        (BODY + b"Content-Length: 100000\r\n\r\n", b" "),
        (BODY + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["head", "body", "chunks"],
)
def test_request_that_trickles_in_is_cut_off(fresh_daemon: Fresh, begun: bytes, endless: bytes) -> None:
    daemon = fresh_daemon(*SHORT)
    with hogs.connected(daemon) as slow:
        slow.sendall(begun)
        hogs.check_served(daemon)
        status, told = hogs.problem(hogs.trickle(slow, endless))
    assert (status, told["code"], told["errno"]) == (408, "slow_request", "ETIMEDOUT")
    assert daemon.request("GET", "/v1/sockets").json()["sockets"] == []
    daemon.stop()


def test_idle_connection_outlives_the_time_for_a_request(fresh_daemon: Fresh) -> None:
    daemon = fresh_daemon(*SHORT)
    with hogs.connected(daemon) as idle, hogs.connected(daemon) as slow:
        slow.sendall(HEAD)
        assert hogs.problem(hogs.await_end(slow))[0] == 408  # more than that time has passed
        for _ in range(2):
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert hogs.answer(idle)[0] == 200
    daemon.stop()


def test_wait_may_take_longer_than_the_request(fresh_daemon: Fresh) -> None:
    daemon = fresh_daemon(*SHORT)
    fd = daemon.request("POST", "/v1/sockets", hogs.LISTENING).json()["fd"]
    told = daemon.request("POST", f"/v1/sockets/{fd}/accept", {"timeout": 2})
    assert (told.status, told.json()["errno"]) == (504, "ETIMEDOUT")
    daemon.stop()


def test_answer_that_is_not_read_is_given_up(fresh_daemon: Fresh) -> None:
    daemon = fresh_daemon(*SHORT)
    made = daemon.request("POST", "/v1/sockets", {"family": "inet", "type": "stream", "count": 2_000})
    assert made.status == 201
    with hogs.connected(daemon) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ask = b"GET /v1/sockets?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n"
        slow.sendall(ask * 20)
        hogs.check_served(daemon)
        while not hogs.is_ended(slow):
            hogs.check_served(daemon, 1)
        assert len(hogs.await_end(slow)) < 20 * len(daemon.request("GET", "/v1/sockets?limit=1000").body)
    hogs.check_served(daemon)
    daemon.stop()


@pytest.mark.parametrize(
    ("flood", "status"),
    [
        (b"GET /" + b"a" * (1 << 20), 414),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * (1 << 20), 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 400_000, 431),
    ],
    ids=["line", "header", "headers"],
)
def test_flood_in_a_head_is_refused_before_its_end(fresh_daemon: Fresh, flood: bytes, status: int) -> None:
    daemon = fresh_daemon()
    with hogs.connected(daemon) as hog:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is refused while it is sent
            hog.sendall(flood)
        assert hogs.problem(hogs.await_end(hog))[0] == status
    hogs.check_served(daemon)
    daemon.stop()


def test_body_without_end_is_refused_and_others_are_served(fresh_daemon: Fresh) -> None:
    daemon = fresh_daemon(*SHORT)
    with hogs.connected(daemon) as hog:
        hog.sendall(BODY + b"Content-Length: 1099511627776\r\n\r\n")
        status, _, body = hogs.answer(hog)
        assert (status, json.loads(body)["errno"]) == (413, "EMSGSIZE")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(1_000_000):
                hog.sendall(b" " * 65536)
                hogs.check_served(daemon, 1)
        assert hogs.is_ended(hog)
    daemon.stop()
