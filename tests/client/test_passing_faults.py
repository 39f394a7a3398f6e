"""Take and give where the daemon is a stand-in that miscounts, breaks off or refuses: nothing stays open."""

from __future__ import annotations

import array
import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

from socketd_client import ApiError, BadAnswerError, Client, TransportError
from tests.client.http_stand_in import Reply, Seen, problem, serving, socket_json

if TYPE_CHECKING:
    from pathlib import Path

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


def passing(*descriptors: int):
    """Answer a take with these descriptors, and say that there were ``announced``."""

    def answer(seen: Seen) -> Reply:
        if seen.path.endswith("/take"):
            rights = array.array("i", descriptors)
            control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
            seen.connection.sendmsg([INTERIM], control)
            return Reply(socket_json(), headers={"Socket-Descriptors": "1"})
        return Reply(socket_json())

    return answer


@pytest.mark.parametrize("count", [0, 2, 5])
def test_other_descriptors_than_announced_are_closed(tmp_path: Path, count: int):
    with serving(passing(*[0] * count), tmp_path / "s") as stand_in, Client(stand_in.url) as client:
        sock = client.sockets.get(64)
        with pytest.raises(BadAnswerError, match="1 descriptors were asked for"):
            sock.take()


def test_descriptors_before_a_refusal_are_closed(tmp_path: Path):
    def answer(seen: Seen) -> Reply:
        if seen.path.endswith("/take"):
            rights = array.array("i", [0, 0])
            seen.connection.sendmsg([INTERIM], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            return problem("EBADF", 404)
        return Reply(socket_json())

    with serving(answer, tmp_path / "s") as stand_in, Client(stand_in.url) as client:
        sock = client.sockets.get(64)
        with pytest.raises(ApiError, match="refused"):
            sock.take()


def test_descriptors_of_an_answer_that_breaks_off_are_closed(tmp_path: Path):
    def answer(seen: Seen) -> Reply | None:
        if not seen.path.endswith("/take"):
            return Reply(socket_json())
        rights = array.array("i", [0, 0])
        seen.connection.sendmsg([INTERIM], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        return None

    with serving(answer, tmp_path / "s") as stand_in, Client(stand_in.url, timeout_s=1) as client:
        sock = client.sockets.get(64)
        with pytest.raises(TransportError):
            sock.take()


def test_descriptor_that_is_no_socket_is_closed(tmp_path: Path):
    with (
        open(os.devnull) as null,  # noqa: PTH123
        serving(passing(null.fileno()), tmp_path / "s") as stand_in,
        Client(stand_in.url) as client,
    ):
        sock = client.sockets.get(64)
        with pytest.raises(OSError, match="non-socket"):
            sock.take()


def test_over_tcp_a_take_is_refused_by_the_daemon_and_a_give_here():
    answer = problem("EOPNOTSUPP", code="needs_unix_socket")
    with serving(lambda _seen: answer) as stand_in, Client(stand_in.url) as client:
        with pytest.raises(OSError, match="refused") as caught:
            client.take("web")
        assert caught.value.errno == errno.EOPNOTSUPP
        with socket.socket() as mine, pytest.raises(OSError, match="Unix socket") as caught:
            client.give(mine)
        assert caught.value.errno == errno.EOPNOTSUPP
