"""``client.forwards``: what is sent and what is made of the answers, and all of it through a daemon."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from socketd_client import BadAnswerError, Client, Socket
from socketd_client.forwards import ForwardInfo, Ways
from tests.client.http_stand_in import Reply, Seen, problem
from tests.client.restarting import playing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


BOUND_S = 30.0
RUNNING = {
    "id": "5f2e8a01c4d7",
    "sockets": [70, 71],
    "cookies": [17, 18],
    "owner": {"uid": 1000, "user": "ann"},
    "on_end": "keep",
    "created_at": "2026-11-22T16:29:00Z",
    "ended_at": None,
    "state": "running",
    "moved_bytes": {"to_first": 1, "to_second": 2},
    "undelivered_bytes": {"to_first": 0, "to_second": 0},
    "whole": False,
    "error": None,
}
RESET = {"title": "Connection reset by peer", "detail": "recv: reset", "errno": "ECONNRESET", "status": 502}
ENDED = {**RUNNING, "state": "ended", "undelivered_bytes": {"to_first": 0, "to_second": 9}, "error": RESET}


def test_what_is_asked_for_is_sent_and_read(tmp_path: Path):
    seen: list[Seen] = []

    def answer(of: Seen) -> Reply:
        seen.append(of)
        return Reply(RUNNING, 201)

    with playing(answer, tmp_path / "s") as client:
        made = client.forwards.create("near", 71, on_end="close")
    (asked,) = seen
    assert (asked.method, asked.path) == ("POST", "/v1/forwards")
    assert asked.json() == {"sockets": ["near", 71], "on_end": "close"}
    assert "If-Match" not in asked.headers
    assert asked.headers["Idempotency-Key"]
    assert (made.id, made.snapshot.sockets, made.snapshot.cookies) == ("5f2e8a01c4d7", (70, 71), (17, 18))
    assert made.snapshot.moved_bytes == Ways(1, 2)
    assert made.snapshot.is_running
    assert repr(made) == "<Forward 5f2e8a01c4d7 of 70 and 71, running>"


def test_an_ended_one_says_what_was_lost_and_why():
    found = ForwardInfo.from_json(ENDED)
    assert found.undelivered_bytes == Ways(0, 9)
    assert found.error is not None
    assert (found.error.errno, found.is_running, found.whole) == ("ECONNRESET", False, False)


@pytest.mark.parametrize("body", [{}, {"forwards": None}, {"forwards": [{"id": "x"}]}])
def test_malformed_list_is_a_bad_answer(tmp_path: Path, body: dict[str, object]):
    with playing(lambda _: Reply(body), tmp_path / "s") as client, pytest.raises(BadAnswerError):
        client.forwards.list()


def test_a_wait_asks_again_until_it_has_ended(tmp_path: Path):
    answers = [RUNNING, RUNNING, ENDED]
    waits: list[str] = []

    def answer(of: Seen) -> Reply:
        waits.append(of.query.get("timeout", ""))
        return Reply(answers.pop(0))

    with playing(answer, tmp_path / "s") as client:
        assert client.forwards.get("5f2e8a01c4d7").wait().state == "ended"
    assert [float(text or 0) > 0 for text in waits] == [False, True, True]


def test_a_wait_whose_time_is_over_is_a_timeout(tmp_path: Path):
    with playing(lambda _: Reply(RUNNING), tmp_path / "s") as client:
        forward = client.forwards.get("5f2e8a01c4d7")
        for timeout in (0, 0.01):
            with pytest.raises(TimeoutError, match="goes on"):
                forward.wait(timeout)


def test_one_that_is_forgotten_is_not_found(tmp_path: Path):
    with (
        playing(lambda _: problem("ENOENT", 404), tmp_path / "s") as client,
        pytest.raises(FileNotFoundError),
    ):
        client.forwards.get("000000000000")


@pytest.fixture
def ends(client: Client) -> Iterator[tuple[socket.socket, Socket, Socket, socket.socket]]:
    """Give two pairs: the inner ends are held, the outer ones here."""
    left, first = socket.socketpair()
    second, right = socket.socketpair()
    with left, first, second, right:
        left.settimeout(BOUND_S)
        right.settimeout(BOUND_S)
        held = client.give(first, second)
        first.close()
        second.close()
        yield left, held[0], held[1], right


def read(sock: socket.socket, count: int) -> bytes:
    found = bytearray()
    while len(found) < count and (piece := sock.recv(1 << 20)):
        found += piece
    return bytes(found)


Ends = tuple[socket.socket, Socket, Socket, socket.socket]


def test_megabytes_go_through_both_ways_to_both_ends(client: Client, ends: Ends):
    left, first, second, right = ends
    there, back = os.urandom(4 << 20), os.urandom(3 << 20)
    forward = client.forwards.create(first, second)
    with ThreadPoolExecutor(2) as pool:
        sending = [pool.submit(sock.sendall, data) for sock, data in ((left, there), (right, back))]
        reading = pool.submit(read, left, len(back))
        assert read(right, len(there)) == there
        assert reading.result(BOUND_S) == back
        for each in sending:
            each.result(BOUND_S)
    left.shutdown(socket.SHUT_WR)
    assert right.recv(1) == b""
    right.shutdown(socket.SHUT_WR)
    assert left.recv(1) == b""
    ended = forward.wait(BOUND_S)
    assert (ended.whole, ended.moved_bytes) == (True, Ways(len(back), len(there)))
    assert ended.undelivered_bytes == Ways()


def test_both_are_busy_until_it_is_stopped(client: Client, ends: Ends):
    left, first, second, _ = ends
    with client.forwards.create(first, second) as forward:
        for sock in (first, second):
            with pytest.raises(OSError, match="EBUSY"):
                sock.recv(1)
        with pytest.raises(OSError, match="EBUSY"):
            client.forwards.create(second, first)
        assert forward.id in [one.id for one in client.forwards.list()]
    assert client.forwards.get(forward.id).snapshot.state == "ended"
    assert forward.stop().state == "ended"
    left.sendall(b"mine again")
    assert first.recv(100) == b"mine again"


def test_handles_mean_the_very_sockets(client: Client, ends: Ends):
    _, first, second, _ = ends
    second.close()
    with pytest.raises(OSError, match="EBADF"):
        client.forwards.create(first, second)


def test_with_close_both_are_gone_at_the_end(client: Client, ends: Ends):
    left, first, second, right = ends
    forward = client.forwards.create(first, second, on_end="close")
    left.close()
    assert right.recv(1) == b""
    right.close()
    assert forward.wait(BOUND_S).on_end == "close"
    assert list(client.sockets.list()) == []


def test_events_tell_of_forwards(client: Client, ends: Ends):
    _, first, second, _ = ends
    forward = client.forwards.create(first, second)
    forward.stop()
    halves = [one for one in client.events(after=0, timeout=0) if one.forward is not None]
    mine = [one for one in halves if one.forward is not None and one.forward.id == forward.id]
    assert [one.event for one in mine] == ["forward_started"] * 2 + ["forward_ended"] * 2
    assert [one.socket.fd for one in mine if one.socket] == [first.fd, second.fd] * 2
    assert [one.forward.other for one in mine if one.forward] == [second.fd, first.fd] * 2
