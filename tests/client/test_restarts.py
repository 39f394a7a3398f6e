"""Which calls are made again when the daemon goes away and another comes, and that none is done twice."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import ApiError, Client, ConnectError, ConnectionLostError, Socket, TransportTimeoutError
from socketd_client.repeating import MOST_LOST
from tests.client.http_stand_in import SERVICE, WAIT_S, Reply, Seen, problem, serving
from tests.client.restarting import LEAVING, OTHER, SAME, SUCCESSOR, Play, anything, held_by, playing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FULL = problem("EMFILE", 503, code="out_of_descriptors")
MAKING: dict[str, Callable[[Client, Socket], Any]] = {
    "create": lambda client, _: client.sockets.create(),
    "create_many": lambda client, _: client.sockets.create_many(2),
    "pair": lambda client, _: client.sockets.pair(),
    "accept": lambda _, held: held.accept(),
    "give_from": lambda client, _: client.give_from(1, 3),
}
DOING: dict[str, Callable[[Client, Socket], Any]] = {
    "send": lambda _, held: held.send(b"x"),
    "recv": lambda _, held: held.recv(1),
    "recvfrom": lambda _, held: held.recvfrom(1),
    "bind": lambda _, held: held.bind(("127.0.0.1", 0)),
    "listen": lambda _, held: held.listen(),
    "shutdown": lambda _, held: held.shutdown(socket.SHUT_WR),
}
LOOKING: dict[str, Callable[[Client, Socket], Any]] = {
    "poll": lambda client, held: client.poll([held], 0),
    "info": lambda _, held: held.info(),
    "set_option": lambda _, held: held.set_option("SO_KEEPALIVE", value=True),
}


def refused_at(path: Path) -> ConnectError:
    with Client(f"unix://{path}") as client, pytest.raises(ConnectError) as caught:
        client.info()
    return caught.value


@pytest.mark.parametrize("what", sorted(MAKING))
def test_what_makes_sockets_is_sent_to_a_successor_with_its_key(tmp_path: Path, what: str):
    play = Play(SUCCESSOR, None, anything)
    with playing(play, tmp_path / "s") as client:
        assert MAKING[what](client, held_by(client))
    first, second = play.calls
    assert play.keys[0] == play.keys[1] is not None
    assert (first.target, first.body) == (second.target, second.body)


@pytest.mark.parametrize("what", sorted(MAKING))
def test_what_makes_sockets_is_not_sent_to_a_successor_without_a_keeper(tmp_path: Path, what: str):
    play = Play({**SUCCESSOR, "keeper": "none"}, None, anything)
    with playing(play, tmp_path / "s") as client, pytest.raises(ConnectionLostError):
        MAKING[what](client, held_by(client))
    assert len(play.calls) == 1


@pytest.mark.parametrize("what", sorted(DOING))
def test_what_a_successor_cannot_know_is_not_sent_to_it(tmp_path: Path, what: str):
    play = Play(SUCCESSOR, None, anything)
    with playing(play, tmp_path / "s") as client, pytest.raises(ConnectionLostError):
        DOING[what](client, held_by(client))
    assert len(play.calls) == 1


@pytest.mark.parametrize("is_tcp", [False, True])
@pytest.mark.parametrize("what", sorted(DOING))
def test_the_daemon_that_did_it_gets_it_again_with_its_key(tmp_path: Path, what: str, is_tcp: bool):  # noqa: FBT001 - a test's parameter
    play = Play(SAME, None, anything)
    with playing(play, None if is_tcp else tmp_path / "s") as client:
        DOING[what](client, held_by(client))
    assert len(play.calls) == 2
    assert play.keys[0] == play.keys[1] is not None


@pytest.mark.parametrize("what", sorted(DOING))
def test_a_daemon_that_was_replaced_since_the_last_call_is_asked_under_its_own_name(
    tmp_path: Path, what: str
):
    play = Play(SUCCESSOR, anything)
    with playing(play, tmp_path / "s") as client:
        held = held_by(client)
        play.ended += 1
        DOING[what](client, held)
    assert len(play.calls) == len(play.refused) == 1


def test_a_call_that_ends_one_daemon_after_the_other_is_given_up(tmp_path: Path):
    play = Play(SUCCESSOR, None)
    with playing(play, tmp_path / "s") as client, pytest.raises(ConnectionLostError):
        held_by(client).info()
    assert play.ended == MOST_LOST + 1


@pytest.mark.parametrize("what", sorted({**MAKING, **DOING, **LOOKING}))
def test_a_daemon_that_is_not_the_one_that_is_meant_has_lost_nothing(tmp_path: Path, what: str):
    play = Play(SUCCESSOR, *[OTHER] * (MOST_LOST + 2), anything)
    with playing(play, tmp_path / "s") as client:
        {**MAKING, **DOING, **LOOKING}[what](client, held_by(client))
    assert len(play.refused) == MOST_LOST + 2


@pytest.mark.parametrize("what", sorted(MAKING))
def test_what_makes_sockets_outlives_daemons_that_end_with_it_and_before_it(tmp_path: Path, what: str):
    play = Play(SUCCESSOR, *[None, OTHER] * MOST_LOST, anything)
    with playing(play, tmp_path / "s") as client:
        MAKING[what](client, held_by(client))
    assert len(set(play.keys)) == 1


@pytest.mark.parametrize("what", sorted(DOING))
def test_what_a_daemon_cannot_have_done_that_ended_before_the_call_began_is_done_by_its_successor(
    tmp_path: Path, what: str
):
    def lose_the_first(seen: Seen) -> Reply | None:
        if seen.method == "POST" and not lost:
            lost.append(seen)
            return None
        return play(seen)

    lost: list[Seen] = []
    play = Play(SAME, anything)
    with playing(lose_the_first, tmp_path / "s") as client:
        held = held_by(client)
        play.ended += 1
        DOING[what](client, held)
    assert len(lost) == len(play.refused) == len(play.calls) == 1


def test_a_call_is_given_up_when_one_daemon_comes_after_the_other_for_all_of_its_time(tmp_path: Path):
    play = Play(SUCCESSOR, OTHER)
    with playing(play, tmp_path / "s", timeout_s=0.1) as client:
        held = held_by(client)
        held.settimeout(0.1)
        with pytest.raises(TransportTimeoutError):
            held.send(b"x")


@pytest.mark.parametrize("what", sorted(LOOKING))
def test_what_changes_nothing_is_sent_to_anybody(tmp_path: Path, what: str):
    play = Play({**SUCCESSOR, "keeper": "none"}, None, None, anything)
    with playing(play, tmp_path / "s") as client:
        LOOKING[what](client, held_by(client))
    assert len(play.calls) == 3


@pytest.mark.parametrize("what", sorted({**MAKING, **DOING, **LOOKING}))
def test_daemon_that_leaves_is_asked_again_with_a_new_key(tmp_path: Path, what: str):
    play = Play(SERVICE, LEAVING, LEAVING, anything)
    with playing(play, tmp_path / "s") as client:
        {**MAKING, **DOING, **LOOKING}[what](client, held_by(client))
    assert len(play.calls) == 3
    keys = [key for key in play.keys if key]
    assert len(set(keys)) == len(keys)


def test_wait_goes_on_with_what_is_left_of_it(tmp_path: Path):
    play = Play(SERVICE, LEAVING, anything)
    with playing(play, tmp_path / "s") as client:
        held = held_by(client)
        held.settimeout(20)
        held.accept()
        held.recv(1)
    assert 0 < play.calls[1].json()["timeout"] < play.calls[0].json()["timeout"] == 20


def test_wait_whose_time_is_over_still_asks_as_one_that_waits(tmp_path: Path):
    play = Play(SERVICE, LEAVING, LEAVING, anything)
    with playing(play, tmp_path / "s") as client:
        held = held_by(client)
        held.settimeout(0.001)
        held.recv(1)
    assert [float(seen.query["timeout"]) for seen in play.calls] == [0.001, 0.001, 0.001]


def test_daemon_that_wants_to_be_left_alone_for_longer_than_the_call_has_is_the_error(tmp_path: Path):
    play = Play(SERVICE, Reply(LEAVING.body, 503, {**LEAVING.headers, "Retry-After": "60"}))
    with playing(play, tmp_path / "s") as client, pytest.raises(InterruptedError) as caught:
        client.sockets.get(64)
    assert isinstance(caught.value, ApiError)
    assert caught.value.problem.retry_after_s == 60
    assert len(play.calls) == 1


def test_daemon_that_never_comes_back_is_given_up(tmp_path: Path):
    play = Play(SERVICE, LEAVING)
    with playing(play, tmp_path / "s", timeout_s=0.1) as client, pytest.raises(InterruptedError):
        client.sockets.get(64)
    assert len(play.calls) > 1


def test_full_table_is_no_restart(tmp_path: Path):
    play = Play(SERVICE, FULL, anything)
    with playing(play, tmp_path / "s") as client, pytest.raises(OSError, match="EMFILE"):
        client.sockets.create()
    assert len(play.calls) == 1


def test_first_try_that_may_have_been_done_keeps_its_key_whatever_is_said_later(tmp_path: Path):
    play = Play(SUCCESSOR, None, LEAVING, None, anything)
    with playing(play, tmp_path / "s") as client:
        held = held_by(client)
        held.settimeout(20)
        held.accept()
    assert len(set(play.keys)) == 1
    assert len({seen.body for seen in play.calls}) == 1
    assert len(play.calls) == 4


def test_bytes_that_may_have_been_sent_are_not_sent_to_whoever_comes_after_a_leaving_daemon(tmp_path: Path):
    play = Play(SAME, None, LEAVING, anything)
    with playing(play, tmp_path / "s") as client, pytest.raises(ConnectionLostError):
        held_by(client).send(b"x")
    assert len(play.calls) == 2


def test_delete_of_a_mere_name_is_sent_again_to_the_daemon_that_did_it(tmp_path: Path):
    play = Play(SAME, None, Reply(b"", 204))
    with playing(play, tmp_path / "s") as client:
        held_by(client)
        client.names.delete("web")
    assert len(play.calls) == 2
    assert len(set(play.keys)) == 1


def test_delete_of_a_mere_name_is_not_sent_to_a_successor(tmp_path: Path):
    play = Play(SUCCESSOR, None, Reply(b"", 204))
    with playing(play, tmp_path / "s") as client:
        with pytest.raises(ConnectionLostError):
            client.names.delete("web")
        assert len(play.calls) == 1
        client.names.delete("web")


@pytest.mark.parametrize("is_left", [False, True], ids=["refused", "no such file"])
def test_client_that_was_answered_before_waits_for_the_daemon_to_come_back(tmp_path: Path, is_left: bool):  # noqa: FBT001 - a test's parameter
    path = tmp_path / "s"
    with serving(anything, path) as server:
        client = Client(server.url)
        client.sockets.create()
    if is_left:
        path.unlink()
    with client, ThreadPoolExecutor(1) as pool:
        creating = pool.submit(client.sockets.create)
        # Another client has been refused for all of its time: so was ours, and did not give up.
        assert not creating.done()
        assert refused_at(path).reason is not None
        path.unlink(missing_ok=True)
        with serving(anything, path):
            assert creating.result(WAIT_S).fd == 64


def test_daemon_that_stays_away_is_waited_for_once(tmp_path: Path):
    path = tmp_path / "s"
    with serving(anything, path) as server:
        client = Client(server.url, timeout_s=0.1)
        client.sockets.create()
    path.unlink()
    with client:
        for _ in range(2):
            with pytest.raises(ConnectError, match="is it running"):
                client.sockets.create()
