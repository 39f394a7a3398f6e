"""What the API says of the keeper, and a repeat under an ``Idempotency-Key`` after the daemon has died."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from socketd.service import Limits
from tests.recording_keeper import RecordingKeeper
from tests.web.in_process import Web

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTENER = {"bind": "127.0.0.1:0", "listen": True, "name": "web"}
LIMITS = Limits(descriptors=1000, first_number=200)


class Daemons:
    """One daemon after the other, with the same keeper."""

    def __init__(self) -> None:
        self.keeper = RecordingKeeper()
        self.web = Web(limits=LIMITS, keeper=self.keeper)

    def die(self) -> None:
        self.keeper.outlive(self.web.service.table)
        self.web.connection.close()
        self.web.far_end.close()
        self.web = Web(limits=LIMITS, keeper=self.keeper)
        self.keeper.hand_back(self.web.service.table)

    def post(self, path: str, body: Any, key: str | None = "k") -> list[dict[str, Any]]:
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = self.web.ask("POST", path, body, headers)
        assert answer.status_code == 201, answer.text
        told: dict[str, Any] = answer.json
        found: list[dict[str, Any]] = told.get("sockets", [told])
        return found


class Closing(RecordingKeeper):
    """While it is waited for, another request closes what was just made."""

    web: Web

    def confirm(self, group: int = 0) -> None:
        super().confirm(group)
        for entry in self.web.service.table.entries():
            self.web.service.table.close(entry)
        super().confirm()


@pytest.fixture
def daemons() -> Iterator[Daemons]:
    made = Daemons()
    yield made
    made.web.close()
    made.keeper.close()


def identities(made: list[dict[str, Any]]) -> list[tuple[int, int, int]]:
    return [(one["fd"], one["cookie"], one["inode"]) for one in made]


@pytest.mark.parametrize(
    "body",
    [LISTENER, {"bind": "127.0.0.1:0", "count": 3}],
    ids=["one", "several"],
)
def test_a_socket_that_is_closed_before_the_answer_is_ebadf(body: dict[str, Any]):
    keeper = Closing()
    keeper.web = Web(limits=LIMITS, keeper=keeper)
    assert keeper.web.refused("POST", "/v1/sockets", body)[1] == "EBADF"
    keeper.web.close()


def test_without_a_keeper_the_service_says_so(web: Web):
    assert web.done("GET", "/v1/")["keeper"] == "none"
    made = web.create()
    assert (made["kept"], made["persist"]) == ("daemon", False)


def test_the_service_says_whether_the_keeper_is_there(daemons: Daemons):
    assert daemons.web.done("GET", "/v1/")["keeper"] == "up"
    daemons.keeper.is_up = False
    assert daemons.web.done("GET", "/v1/")["keeper"] == "away"
    assert daemons.web.create()["kept"] == "daemon"
    daemons.keeper.is_up = True


def test_the_answer_of_what_is_made_says_that_it_is_kept(daemons: Daemons):
    assert daemons.web.create(**LISTENER)["kept"] == "keeper"
    assert [one["kept"] for one in daemons.post("/v1/sockets", {"count": 2})] == ["keeper"] * 2
    assert [one["kept"] for one in daemons.post("/v1/socketpairs", {}, "l")] == ["keeper"] * 2


def test_what_persists_says_how(daemons: Daemons):
    made = daemons.web.create(name="web")
    daemons.web.service.table.find("web").persist = "boot"
    assert daemons.web.done("GET", f"/v1/sockets/{made['fd']}")["persist"] == "boot"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/sockets", LISTENER),
        ("/v1/sockets", {"count": 4, "bind": "127.0.0.1:0"}),
        ("/v1/socketpairs", {"names": ["a", "b"]}),
    ],
    ids=["create", "several", "pair"],
)
def test_a_repeat_after_a_restart_is_answered_with_the_same_sockets(
    daemons: Daemons, path: str, body: dict[str, Any]
):
    first = daemons.post(path, body)
    daemons.die()
    assert identities(daemons.post(path, body)) == identities(first)
    daemons.die()
    assert identities(daemons.post(path, body)) == identities(first)


def test_an_accept_that_is_repeated_after_a_restart_takes_no_second_connection(daemons: Daemons):
    (listener,) = daemons.post("/v1/sockets", LISTENER, None)
    address = (listener["local"]["host"], listener["local"]["port"])
    with socket.create_connection(address), socket.create_connection(address):
        first = daemons.post("/v1/sockets/web/accept", {})
        daemons.die()
        assert identities(daemons.post("/v1/sockets/web/accept", {})) == identities(first)
        assert daemons.web.done("GET", "/v1/sockets/web")["listening"]["pending"] == 1


@pytest.mark.parametrize(
    ("path", "body", "key"),
    [
        ("/v1/sockets", {"type": "dgram"}, "k"),
        ("/v1/socketpairs", {}, "k"),
        ("/v1/sockets", {}, "l"),
        ("/v1/sockets", {}, None),
    ],
    ids=["another body", "another path", "another key", "no key"],
)
def test_another_request_after_a_restart_makes_another_socket(
    daemons: Daemons, path: str, body: dict[str, Any], key: str | None
):
    first = daemons.post("/v1/sockets", {})
    daemons.die()
    assert not set(identities(daemons.post(path, body, key))) & set(identities(first))


def test_a_request_without_a_key_is_never_taken_for_a_repeat(daemons: Daemons):
    first = daemons.post("/v1/sockets", {}, None)
    daemons.die()
    assert identities(daemons.post("/v1/sockets", {}, None)) != identities(first)
