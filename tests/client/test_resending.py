"""What is sent again when a connection breaks, and what must not be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from socketd_client import ApiError, Client, ConnectionLostError
from tests.client.http_stand_in import SERVICE, WAIT_S, Reply, Seen, problem, serving, socket_json

if TYPE_CHECKING:
    from pathlib import Path

NAMED = {"Socketd-Instance": "the-daemon"}
CUT = problem("EINVAL", 400, code="cut_body")
GONE = problem("ECANCELED", 499, code="client_gone")
FORGOTTEN = problem("EALREADY", code="answer_forgotten")


class BreaksOnce:
    """Hangs up instead of answering at first; ``service`` answers ``GET /v1/``, ``reply`` the rest."""

    def __init__(self, reply: Reply, service: Reply, *, times: int = 1) -> None:
        self.reply = reply
        self.service = service
        self.left = times
        self.calls: list[Seen] = []

    def __call__(self, seen: Seen) -> Reply | None:
        if seen.path == "/v1/":
            return self.service
        self.calls.append(seen)
        self.left -= 1
        return None if self.left >= 0 else self.reply


def test_post_is_not_sent_again_to_a_daemon_that_does_not_say_who_it_is(tmp_path: Path):
    answer = BreaksOnce(Reply(socket_json()), Reply(SERVICE))
    with serving(answer, tmp_path / "s") as server, Client(server.url) as client:
        with pytest.raises(ConnectionLostError):
            client.sockets.create()
        assert len(answer.calls) == 1


def test_post_is_not_sent_again_to_a_daemon_that_started_since(tmp_path: Path):
    answer = BreaksOnce(Reply(socket_json()), Reply({**SERVICE, "uptime_s": 0.0}, headers=NAMED))
    with serving(answer, tmp_path / "s") as server, Client(server.url) as client:
        with pytest.raises(ConnectionLostError):
            client.sockets.create()
        assert len(answer.calls) == 1


def test_post_is_not_sent_again_when_nobody_tells_whether_it_may(tmp_path: Path):
    with serving(lambda _: None, tmp_path / "s") as server, Client(server.url, timeout_s=0.1) as client:
        with pytest.raises(ConnectionLostError):
            client.sockets.create()
        assert [seen.method for seen in server.seen].count("POST") == 1


@pytest.mark.parametrize("call", ["get", "create"])
def test_a_call_is_sent_again_as_often_as_its_connection_breaks(tmp_path: Path, call: str):
    answer = BreaksOnce(Reply(socket_json()), Reply(SERVICE, headers=NAMED), times=12)
    with serving(answer, tmp_path / "s") as server, Client(server.url, timeout_s=WAIT_S) as client:
        assert getattr(client.sockets, call)(*([64] if call == "get" else [])).fd == 64
    assert len(answer.calls) == 13
    assert len({seen.headers.get("Idempotency-Key") for seen in answer.calls}) == 1


def test_a_call_is_given_up_when_its_time_is_over(tmp_path: Path):
    with serving(lambda _: None, tmp_path / "s") as server, Client(server.url, timeout_s=0.1) as client:
        with pytest.raises(ConnectionLostError):
            client.sockets.get(64)
        assert len(server.seen) > 1


def test_a_request_that_arrived_cut_is_sent_again(tmp_path: Path):
    replies = [CUT, CUT, Reply(socket_json())]
    with serving(lambda _: replies.pop(0), tmp_path / "s") as server, Client(server.url) as client:
        assert client.sockets.create().fd == 64
        assert len({seen.headers["Idempotency-Key"] for seen in server.seen}) == 1


def test_a_daemon_that_takes_us_for_gone_is_a_broken_connection(tmp_path: Path):
    replies = [Reply(socket_json(), headers=NAMED), GONE, Reply({"sent": 1}, headers=NAMED)]
    with serving(lambda _: replies.pop(0), tmp_path / "s") as server, Client(server.url) as client:
        assert client.sockets.get(64).send(b"x") == 1
        assert len({seen.headers["Idempotency-Key"] for seen in server.seen[1:]}) == 1


@pytest.mark.parametrize("reply", [CUT, GONE], ids=["cut", "gone"])
def test_a_connection_that_breaks_for_all_of_its_time_is_a_lost_one_whoever_says_so(
    tmp_path: Path, reply: Reply
):
    def answer(seen: Seen) -> Reply:
        return reply if seen.method == "POST" else Reply(SERVICE, headers=NAMED)

    with serving(answer, tmp_path / "s") as server, Client(server.url, timeout_s=0.1) as client:
        with pytest.raises(ConnectionLostError):
            client.sockets.create()
        assert len(server.seen) > 2


def test_what_was_done_and_whose_answer_is_kept_no_more_is_a_lost_connection(tmp_path: Path):
    answer = BreaksOnce(FORGOTTEN, Reply(SERVICE, headers=NAMED))
    with serving(answer, tmp_path / "s") as server, Client(server.url) as client:
        with pytest.raises(ConnectionLostError):
            client.sockets.create()
        assert len(answer.calls) == 2


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_every_change_names_its_key_and_the_daemon_that_it_is_for(tmp_path: Path, method: str):
    reply = Reply(socket_json(), headers=NAMED)
    with serving(lambda _: reply, tmp_path / "s") as server, Client(server.url) as client:
        sock = client.sockets.get(64)
        {"POST": sock.listen, "PUT": lambda: client.sockets.ensure("web"), "DELETE": sock.close}[method]()
        asked = server.seen[-1]
    assert asked.method == method
    assert asked.headers["Idempotency-Key"]
    assert asked.headers["Socketd-Instance"] == "the-daemon"


def test_refusal_is_not_sent_again(tmp_path: Path):
    with serving(lambda _: problem("EBUSY"), tmp_path / "s") as server, Client(server.url) as client:
        with pytest.raises(ApiError):
            client.sockets.get(64)
        assert len(server.seen) == 1


def test_post_is_sent_again_with_its_key_to_a_daemon_that_replays(tmp_path: Path):
    answer = BreaksOnce(Reply(socket_json()), Reply(SERVICE, headers=NAMED))
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


def test_a_poll_has_no_key_for_its_first_answer_may_no_longer_be_true(tmp_path: Path):
    replies = [Reply(socket_json()), None, Reply({"ready": []})]
    with serving(lambda _: replies.pop(0), tmp_path / "s") as server, Client(server.url) as client:
        assert client.poll([client.sockets.get(64)], 0) == []
        assert ["Idempotency-Key" in seen.headers for seen in server.seen] == [False] * 3


@pytest.mark.parametrize("call", ["get", "ensure"])
def test_get_and_put_are_sent_again(tmp_path: Path, call: str):
    answer = BreaksOnce(Reply(socket_json()), Reply(SERVICE))
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
    answer = BreaksOnce(Reply(socket_json()), Reply(SERVICE), times=0)
    with serving(answer, tmp_path / "s") as server, Client(server.url) as client:
        client.sockets.create()
        server.hang_up()
        assert client.sockets.create().fd == 64
        assert len(server.connections) == 2
        assert len(answer.calls) == 2
