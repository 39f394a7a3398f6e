"""Socketd-Instance: every answer names the daemon process, and what is for another one is not done."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.web.in_process import Web

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = "Socketd-Instance"
ANOTHER = {HEADER: "0123456789abcdef"}


@pytest.fixture
def other() -> Iterator[Web]:
    made = Web()
    yield made
    made.close()


def test_every_answer_names_the_process(web: Web):
    answers = [
        web.ask("GET", "/healthz"),
        web.ask("POST", "/v1/sockets", {}),
        web.ask("GET", "/v1/sockets/9999"),
        web.ask("GET", "/nowhere"),
        web.ask("POST", "/v1/sockets", {}, ANOTHER),
    ]
    assert [answer.status_code for answer in answers] == [200, 201, 404, 404, 412]
    (name,) = {answer.headers[HEADER] for answer in answers}
    assert re.fullmatch("[0-9a-f]{16}", name)


def test_two_processes_have_two_names(web: Web, other: Web):
    assert web.ask("GET", "/healthz").headers[HEADER] != other.ask("GET", "/healthz").headers[HEADER]


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
def test_what_is_for_another_daemon_is_not_done(web: Web, headers: dict[str, str]):
    answer = web.ask("POST", "/v1/sockets", {}, {**headers, **ANOTHER})
    assert (answer.status_code, answer.json["code"], answer.json["errno"]) == (
        412,
        "other_instance",
        "ESTALE",
    )
    assert web.done("GET", "/v1/sockets")["sockets"] == []


def test_the_refusal_is_not_kept_under_the_key(web: Web):
    key = {"Idempotency-Key": "k"}
    refused = web.ask("POST", "/v1/sockets", {}, {**key, **ANOTHER})
    made = web.ask("POST", "/v1/sockets", {}, {**key, HEADER: refused.headers[HEADER]})
    assert made.status_code == 201


def test_it_comes_before_the_question_whether_the_socket_is_there(web: Web):
    assert web.refused("DELETE", "/v1/sockets/9999", None, ANOTHER) == (412, "ESTALE")


def test_an_answer_that_is_given_again_has_one_name(web: Web):
    answers = [web.ask("POST", "/v1/sockets", {}, {"Idempotency-Key": "k"}) for _ in range(2)]
    assert [len(answer.headers.getlist(HEADER)) for answer in answers] == [1, 1]
