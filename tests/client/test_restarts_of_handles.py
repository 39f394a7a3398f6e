"""Connects, descriptors and names while the daemon goes away and another comes."""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import sys
from contextlib import ExitStack
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import ConnectionLostError
from tests.client.http_stand_in import WAIT_S, Reply, Seen, problem, socket_json
from tests.client.restarting import LEAVING, SAME, SUCCESSOR, Play, held_by, playing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def connecting(*states: str, acts: list[Reply | None]) -> tuple[Callable[[Seen], Reply | None], list[str]]:
    """Answer ``connect`` with the acts, and everything else as a socket that is in these states by turns."""
    left, replies, told = iter(states), iter(acts), []

    def answer(seen: Seen) -> Reply | None:
        if seen.path == "/v1/":
            return Reply(SUCCESSOR)
        told.append(seen.path.rpartition("/")[2])
        if seen.path.endswith("/connect"):
            return next(replies)
        if seen.path.endswith("/poll"):
            return Reply({"ready": [{"socket": 64, "events": ["POLLOUT"]}]})
        if "/options/" in seen.path:
            return Reply({"name": "SO_ERROR", "level": 1, "number": 4, "type": "int", "value": 0})
        return Reply(socket_json(state=next(left, "connected")))

    return answer, told


@pytest.mark.parametrize("end", [None, LEAVING], ids=["killed", "told to leave"])
def test_connect_that_goes_on_in_the_kernel_is_waited_for_and_not_begun_again(
    tmp_path: Path, end: Reply | None
):
    answer, told = connecting("created", "connecting", acts=[end])
    with playing(answer, tmp_path / "s") as client:
        held = client.sockets.get(64)
        held.connect(("127.0.0.1", 9))
        assert held.snapshot.state == "connected"
    assert told.count("connect") == 1
    assert "poll" in told


@pytest.mark.parametrize("end", [None, LEAVING], ids=["killed", "told to leave"])
def test_connect_that_never_began_is_begun(tmp_path: Path, end: Reply | None):
    done = Reply(socket_json(state="connected"))
    answer, told = connecting("created", "created", "bound", acts=[end, end, done])
    with playing(answer, tmp_path / "s") as client:
        client.sockets.get(64).connect(("127.0.0.1", 9))
    assert told.count("connect") == 3


def test_connect_that_does_not_wait_says_that_it_goes_on(tmp_path: Path):
    answer, _ = connecting("created", "connecting", acts=[None])
    with playing(answer, tmp_path / "s") as client:
        held = client.sockets.get(64)
        held.settimeout(0)
        assert held.connect_ex(("127.0.0.1", 9)) == errno.EINPROGRESS


def test_released_socket_that_came_is_returned_although_the_answer_did_not(tmp_path: Path):
    with socket.socket() as given:
        inode = os.fstat(given.fileno()).st_ino

        def hand_over(seen: Seen) -> None:
            socket.send_fds(seen.connection, [b"HTTP/1.1 100 Continue\r\n\r\n"], [given.fileno()])

        play = Play(SAME, hand_over, problem("EBADF", 404))
        with playing(play, tmp_path / "s") as client:
            held = held_by(client)
            with held.release() as mine:
                assert os.fstat(mine.fileno()).st_ino == inode
            assert held.fileno() == -1
    # The second makes sure that a daemon that died before it forgot does so.
    assert [seen.headers["If-Match"] for seen in play.calls] == ['"4097"'] * 2


@pytest.mark.parametrize("is_cut", [True, False], ids=["cut", "silent"])
def test_sockets_that_came_are_released_again_by_their_cookies(tmp_path: Path, is_cut: bool):  # noqa: FBT001 - a test's parameter
    with socket.socket() as one, socket.socket() as other, ExitStack() as kept:
        cookies = [
            int.from_bytes(each.getsockopt(socket.SOL_SOCKET, 57, 8), sys.byteorder) for each in (one, other)
        ]

        def hand_over(seen: Seen) -> Reply | None:
            numbers = [one.fileno(), other.fileno()]
            socket.send_fds(seen.connection, [b"HTTP/1.1 100 Continue\r\n\r\n"], numbers)
            if not is_cut:
                silent.wait(WAIT_S)
            return None

        silent = Event()
        play = Play(SAME, hand_over, problem("EBADF", 404))
        with playing(play, tmp_path / "s", timeout_s=WAIT_S if is_cut else 0.2) as client:
            held_by(client)
            for mine in client.take(64, "web", release=True):
                kept.enter_context(mine)
            silent.set()
    assert play.calls[1].headers["If-Match"] == f'"{cookies[0]}", "{cookies[1]}"'


def test_release_of_which_nothing_came_is_sent_again(tmp_path: Path):
    play = Play(SAME, None, problem("EBADF", 404))
    with playing(play, tmp_path / "s") as client, pytest.raises(OSError, match="EBADF"):
        held_by(client).release()
    assert len(play.calls) == 2


def restored(seen: Seen) -> None:
    """Answer a give as a daemon does that knows its key: at once, whatever descriptors follow."""
    connection = seen.connection
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: socketd-give\r\n\r\n")
    (length,) = struct.unpack(">I", connection.recv(4, socket.MSG_WAITALL))
    connection.recv(length, socket.MSG_WAITALL)
    connection.recv(1)
    body = json.dumps({"status": 201, "body": {"sockets": [socket_json(name="kept")]}}).encode()
    connection.sendall(b"\0" + struct.pack(">I", len(body)) + body)


@pytest.mark.parametrize("service", [SAME, SUCCESSOR], ids=["same", "successor"])
def test_give_is_repeated_with_its_key(tmp_path: Path, service: dict[str, Any]):
    play = Play(service, None, restored)
    with playing(play, tmp_path / "s") as client, socket.socket() as mine:
        assert client.give(mine, name="kept").name == "kept"
    assert len(play.calls) == 2
    assert play.keys[0] == play.keys[1] is not None


def test_give_is_not_repeated_at_a_successor_without_a_keeper(tmp_path: Path):
    play = Play({**SUCCESSOR, "keeper": "none"}, None, restored)
    with (
        playing(play, tmp_path / "s") as client,
        socket.socket() as mine,
        pytest.raises(ConnectionLostError),
    ):
        client.give(mine)
    assert len(play.calls) == 1


def test_every_give_and_call_has_a_key_of_its_own(tmp_path: Path):
    play = Play(SAME, restored)
    with playing(play, tmp_path / "s") as client, socket.socket() as mine:
        for _ in range(2):
            client.give(mine)
    assert len(set(play.keys)) == 2
