"""Refusals of the policy on the wire: the body, Retry-After, and what the store of answers may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from socketd.service.guard import Fixed
from tests.policies import policy
from tests.web.in_process import Web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OPEN = """
[[rule]]
name = "anyone"
anyone = true
families = ["inet"]
types = ["stream"]
bind = ["127.0.0.1:1024-65535"]
names = "*"
"""


@pytest.fixture
def guarded() -> Iterator[Callable[[str], Web]]:
    """Make applications with a policy of the test's own."""
    made: list[Web] = []

    def make(more: str = "") -> Web:
        made.append(Web(policies=Fixed(policy(OPEN + more))))
        return made[-1]

    yield make
    for web in made:
        web.close()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/sockets", {"family": "unix"}),
        ("POST", "/v1/sockets", {"type": "dgram"}),
        ("POST", "/v1/sockets", {"bind": "127.0.0.1:80"}),
        ("POST", "/v1/sockets", {"bind": "*:8080"}),
        ("POST", "/v1/sockets", {"listen": True}),
        ("POST", "/v1/sockets", {"connect": "127.0.0.1:8080"}),
        ("POST", "/v1/sockets", {"options": {"SO_KEEPALIVE": True}}),
        ("POST", "/v1/sockets", {"name": "x", "persist": "boot"}),
        ("PUT", "/v1/names/x", {"connect": "127.0.0.1:8080"}),
        ("PUT", "/v1/names/x", {"persist": "boot"}),
        ("POST", "/v1/socketpairs", None),
        ("POST", "/v1/sockets/give", {"pid": 1, "fd": 0}),
        ("GET", "/metrics", None),
    ],
)
def test_a_refusal_is_403_with_where_to_look(guarded, method, path, body):
    web = guarded()
    assert web.refused(method, path, body) == (403, "EACCES")
    assert web.done("GET", "/v1/sockets")["sockets"] == []
    assert web.done("GET", "/v1/names")["names"] == []


def test_too_many_requests_are_told_when_to_come_again(guarded):
    web = guarded("quota = { requests_per_s = 0.1, burst = 2 }")
    for _ in range(2):
        web.done("GET", "/v1/sockets")
    answer = web.ask("GET", "/v1/sockets")
    assert (answer.status_code, answer.json["errno"], answer.json["code"]) == (
        429,
        "EDQUOT",
        "quota_exceeded",
    )
    assert int(answer.headers["Retry-After"]) in range(1, 11)


def test_a_request_with_a_key_counts_once(guarded):
    web = guarded("quota = { requests_per_s = 0.001, burst = 2 }")
    for key in ("a", "b"):
        assert web.ask("POST", "/v1/sockets", {}, {"Idempotency-Key": key}).status_code == 201
    assert web.ask("GET", "/v1/sockets").status_code == 429


def test_who_is_asked_for_nothing_is_not_counted(guarded):
    web = guarded("quota = { requests_per_s = 0.001, burst = 1 }")
    for _ in range(3):
        assert web.ask("GET", "/healthz").status_code == 200


@pytest.mark.parametrize("bound", ["quota = { buffered_bytes = 10 }", "[total]\nbuffered_bytes = 10"])
def test_an_answer_that_the_quota_has_no_room_for_is_not_kept_and_its_repeat_not_done(guarded, bound):
    web = guarded(bound)
    answers = [web.ask("POST", "/v1/sockets", {}, {"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 409]
    assert answers[1].json["code"] == "answer_forgotten"
    assert len(web.done("GET", "/v1/sockets")["sockets"]) == 1


def test_quota_of_sockets_is_429_and_shown(guarded):
    web = guarded("quota = { sockets = 2 }")
    web.done("POST", "/v1/sockets", {"count": 2})
    assert web.refused("POST", "/v1/sockets", {}) == (429, "EDQUOT")
    assert web.done("GET", "/v1/caller")["quota"]["sockets"] == {"most": 2, "used": 2}


def test_old_answers_make_room_and_their_requests_are_not_done_again(guarded):
    web = guarded("quota = { buffered_bytes = 8000 }")
    keys = [f"key-{nth}" for nth in range(10)]
    for key in keys:
        assert web.ask("POST", "/v1/sockets", {}, {"Idempotency-Key": key}).status_code == 201
    again = {key: web.ask("POST", "/v1/sockets", {}, {"Idempotency-Key": key}) for key in keys}
    assert (again[keys[0]].status_code, again[keys[0]].json["code"]) == (409, "answer_forgotten")
    assert again[keys[-1]].headers["Idempotency-Replayed"] == "true"
    assert len(web.done("GET", "/v1/sockets")["sockets"]) == len(keys)


def test_a_key_whose_answer_had_to_make_room_is_still_of_its_request(guarded):
    web = guarded("quota = { buffered_bytes = 10 }")
    assert web.ask("POST", "/v1/sockets", {}, {"Idempotency-Key": "k"}).status_code == 201
    refused = web.ask("POST", "/v1/sockets", {"name": "another"}, {"Idempotency-Key": "k"})
    assert (refused.status_code, refused.json["code"]) == (422, "idempotency_key_reused")


def test_answers_of_all_together_keep_to_their_bound(guarded):
    web = guarded("[total]\nbuffered_bytes = 8000")
    for key in range(20):
        assert web.ask("POST", "/v1/sockets", {}, {"Idempotency-Key": f"k{key}"}).status_code == 201
    codes = [
        web.ask("POST", "/v1/sockets", {}, {"Idempotency-Key": f"k{key}"}).status_code for key in range(20)
    ]
    assert codes[0] == 409
    assert codes[-1] == 201
    assert len(web.done("GET", "/v1/sockets")["sockets"]) == 20
