"""What is sent again when a connection breaks, and what must not be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from socketd_client import ApiError, Client, ConnectionLostError
from tests.client.http_stand_in import SERVICE, Reply, Seen, problem, serving, socket_json

if TYPE_CHECKING:
    from pathlib import Path

REPLAYING = {**SERVICE, "extensions": ["idempotency"]}


class BreaksOnce:
    """Hangs up instead of answering the first time; ``service`` answers ``GET /v1/``, ``reply`` the rest."""

    def __init__(self, reply: Reply, service: dict[str, object], *, times: int = 1) -> None:
        self.reply = reply
        self.service = service
        self.left = times
        self.calls: list[Seen] = []

    def __call__(self, seen: Seen) -> Reply | None:
        if seen.path == "/v1/":
            return Reply(self.service)
        self.calls.append(seen)
        self.left -= 1
        return None if self.left >= 0 else self.reply


def test_post_is_not_sent_again_when_the_daemon_does_not_replay(tmp_path: Path):
    answer = BreaksOnce(Reply(socket_json()), SERVICE)
    with serving(answer, tmp_path / "s") as server, Client(server.url) as client:
        with pytest.raises(ConnectionLostError):
            client.sockets.create()
        assert len(answer.calls) == 1


def test_post_is_not_sent_again_to_a_daemon_that_started_since(tmp_path: Path):
    answer = BreaksOnce(Reply(socket_json()), {**REPLAYING, "uptime_s": 0.0})
    with serving(answer, tmp_path / "s") as server, Client(server.url) as client:
        with pytest.raises(ConnectionLostError):
            client.sockets.create()
        assert len(answer.calls) == 1


def test_post_is_not_sent_again_when_nobody_tells_whether_it_may(tmp_path: Path):
    with serving(lambda _: None, tmp_path / "s") as server, Client(server.url) as client:
        with pytest.raises(ConnectionLostError):
            client.sockets.create()
        assert [seen.method for seen in server.seen].count("POST") == 1


def test_nothing_is_sent_a_fifth_time(tmp_path: Path):
    answer = BreaksOnce(Reply(socket_json()), REPLAYING, times=5)
    with serving(answer, tmp_path / "s") as server, Client(server.url) as client:
        with pytest.raises(ConnectionLostError):
            client.sockets.get(64)
        assert len(answer.calls) == 4


def test_refusal_is_not_sent_again(tmp_path: Path):
    with serving(lambda _: problem("EBUSY"), tmp_path / "s") as server, Client(server.url) as client:
        with pytest.raises(ApiError):
            client.sockets.get(64)
        assert len(server.seen) == 1


def test_post_is_sent_again_with_its_key_to_a_daemon_that_replays(tmp_path: Path):
    answer = BreaksOnce(Reply(socket_json()), REPLAYING)
    with serving(answer, tmp_path / "s") as server, Client(server.url) as client:
        assert client.sockets.create(name="web").fd == 64
    first, second = answer.calls
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.body == second.body


def test_every_post_has_a_key_of_its_own_and_gets_have_none(tmp_path: Path):
    with serving(lambda _: Reply(socket_json()), tmp_path / "s") as server, Client(server.url) as client:
        client.sockets.create()
        client.sockets.create()
        client.sockets.get(64)
        keys = [seen.headers.get("Idempotency-Key") for seen in server.seen]
    assert None not in keys[:2]
    assert keys[0] != keys[1]
    assert keys[2] is None


@pytest.mark.parametrize("call", ["get", "ensure"])
def test_get_and_put_are_sent_again(tmp_path: Path, call: str):
    answer = BreaksOnce(Reply(socket_json()), SERVICE)
    with serving(answer, tmp_path / "s") as server, Client(server.url) as client:
        assert getattr(client.sockets, call)("web").fd == 64
        assert len(answer.calls) == 2


def test_delete_that_was_done_the_first_time_is_done(tmp_path: Path):
    def answer(seen: Seen) -> Reply | None:
        if seen.method == "GET":
            return Reply(socket_json())
        deletes.append(seen)
        return None if len(deletes) == 1 else problem("EBADF", 404)

    deletes: list[Seen] = []
    with serving(answer, tmp_path / "s") as server, Client(server.url) as client:
        sock = client.sockets.get(64)
        sock.close()
        assert sock.fileno() == -1
        assert len(deletes) == 2


def test_delete_that_is_refused_the_first_time_is_refused(tmp_path: Path):
    def answer(seen: Seen) -> Reply:
        return Reply(socket_json()) if seen.method == "GET" else problem("EBADF", 404)

    with serving(answer, tmp_path / "s") as server, Client(server.url) as client:
        sock = client.sockets.get(64)
        with pytest.raises(ApiError) as caught:
            sock.close()
        assert caught.value.symbol == "EBADF"
        sock.close()


def test_connection_that_the_daemon_closed_while_idle_is_replaced_without_a_word(tmp_path: Path):
    answer = BreaksOnce(Reply(socket_json()), SERVICE, times=0)
    with serving(answer, tmp_path / "s") as server, Client(server.url) as client:
        client.sockets.create()
        server.hang_up()
        assert client.sockets.create().fd == 64
        assert len(server.connections) == 2
        assert len(answer.calls) == 2
