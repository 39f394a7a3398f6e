"""``client.names`` and ``persist``: what is sent, and what is made of the answers."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from socketd_client import ApiError, BadAnswerError, NameInfo
from socketd_client.records import Owner
from tests.client.http_stand_in import SERVICE, Reply, Seen, problem, socket_json
from tests.client.restarting import playing

if TYPE_CHECKING:
    from pathlib import Path

FAILURE = {
    "title": "Address already in use",
    "status": 409,
    "detail": "bind: it is taken",
    "code": "kernel_refused",
    "errno": "EADDRINUSE",
    "syscall": "bind",
    "hint": "find the holder",
}
FAILING = {
    "name": "web",
    "owner": {"uid": 1000, "user": "ann"},
    "persist": "boot",
    "socket": None,
    "failure": FAILURE,
    "retry_at": "2026-11-22T16:29:00Z",
}
PLAIN = {"name": "dns", "persist": False, "socket": 64, "failure": None, "retry_at": None}


def test_names_are_listed_with_what_keeps_them_from_being_made(tmp_path: Path):
    with playing(lambda _: Reply({"names": [FAILING, PLAIN]}), tmp_path / "s") as client:
        failing, plain = client.names.list()
    assert plain == NameInfo("dns", socket=64)
    assert (failing.persist, failing.socket) == ("boot", None)
    assert failing.owner == Owner(1000, "ann")
    assert failing.failure is not None
    assert (failing.failure.errno, failing.failure.status) == ("EADDRINUSE", 409)
    assert failing.failure.hint == "find the holder"
    assert failing.retry_at == dt.datetime(2026, 11, 22, 16, 29, tzinfo=dt.UTC)


@pytest.mark.parametrize("body", [{}, {"names": None}, {"names": [{"persist": "boot"}]}])
def test_malformed_list_is_a_bad_answer(tmp_path: Path, body: dict[str, object]):
    with playing(lambda _: Reply(body), tmp_path / "s") as client, pytest.raises(BadAnswerError):
        client.names.list()


def test_one_name_is_read_and_deleted_by_its_path(tmp_path: Path):
    def answer(of: Seen) -> Reply:
        seen.append((of.method, of.target))
        return Reply(b"", 204) if of.method == "DELETE" else Reply(PLAIN)

    seen: list[tuple[str, str]] = []
    with playing(answer, tmp_path / "s") as client:
        assert client.names.get("a@b").socket == 64
        client.names.delete("a@b")
    assert seen == [("GET", "/v1/names/a%40b"), ("DELETE", "/v1/names/a%40b")]


def test_name_of_nothing_is_refused(tmp_path: Path):
    missing = problem("ENOENT", 404)
    with playing(lambda _: missing, tmp_path / "s") as client, pytest.raises(ApiError) as caught:
        client.names.delete("web")
    assert caught.value.status == 404


def test_persist_is_sent_and_read(tmp_path: Path):
    def answer(of: Seen) -> Reply:
        seen.append(of)
        return Reply(socket_json(name="web", persist="boot", kept="supervisor"), 201)

    seen: list[Seen] = []
    with playing(answer, tmp_path / "s") as client:
        made = client.sockets.create(name="web", bind="127.0.0.1:0", persist="boot")
        ensured = client.names.ensure("web", bind="127.0.0.1:0", persist=False)
    assert [one.json()["persist"] for one in seen] == ["boot", False]
    assert (seen[1].method, seen[1].path) == ("PUT", "/v1/names/web")
    assert (made.snapshot.persist, made.snapshot.kept, ensured.name) == ("boot", "supervisor", "web")


@pytest.mark.parametrize("told", ["none", "up", "away"])
def test_service_document_tells_of_the_keeper(tmp_path: Path, told: str):
    with playing(lambda _: Reply({**SERVICE, "keeper": told}), tmp_path / "s") as client:
        assert client.info().keeper == told


def test_daemon_that_knows_no_keeper_has_none(tmp_path: Path):
    with playing(lambda _: Reply(SERVICE), tmp_path / "s") as client:
        assert client.info().keeper == "none"
