"""The events over HTTP in both forms, and the figures: what they look like, and what they refuse."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from socketd.service.following import MOST_OF_ONE
from socketd.web.schemas.events import EventSchema
from tests.web.in_process import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.in_process import Web

SSE = {"Accept": "text/event-stream"}
SAMPLE = re.compile(r'[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.e+]+')


@pytest.fixture
def fresh() -> Iterator[Web]:
    """An application that has noted nothing yet."""
    with serving(heartbeat_s=0.02) as web:
        yield web


def events(web: Web, query: str = "after=0&timeout=0", **headers: str) -> list[dict[str, Any]]:
    """Ask for what is there, the heartbeats left out."""
    answer = web.ask("GET", f"/v1/events?{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.mimetype == "application/x-ndjson"
    said = [json.loads(line) for line in answer.text.splitlines()]
    return [each for each in said if each["event"] != "heartbeat"]


def messages(text: str) -> list[dict[str, str]]:
    """Read server-sent events: fields by name, comments left out."""
    found = []
    for block in text.strip("\n").split("\n\n"):
        lines = [line for line in block.split("\n") if not line.startswith(":")]
        found.append(dict(line.split(": ", 1) for line in lines))
    return found


def test_every_event_is_as_its_schema(fresh: Web):
    left, _ = fresh.pair()
    fresh.create(bind="127.0.0.1:0", listen=True, name="web")
    fresh.done("PUT", "/v1/sockets/web/options/SO_KEEPALIVE", {"value": True})
    fresh.done("POST", f"/v1/sockets/{left}/shutdown", {"how": "write"})
    fresh.refused("POST", "/v1/sockets/web/bind", {"address": "127.0.0.1:0"})
    fresh.refused("DELETE", "/v1/sockets/none")
    said = events(fresh)
    for each in said:
        EventSchema().load(each)
    assert [each["event"] for each in said] == [
        *("created", "created", "created", "bound", "listening", "option_set", "shut_down"),
        *("refused", "refused"),
    ]
    assert said[-2]["asked"] == "127.0.0.1:0"
    assert (said[-1]["socket"], said[-1]["reference"]) == (None, "none")


def test_an_event_has_the_id_of_its_request(fresh: Web):
    fresh.ask("POST", "/v1/sockets", {}, headers={"X-Request-Id": "mine"})
    assert events(fresh)[0]["request_id"] == "mine"


def test_events_go_on_after_the_one_that_is_known(fresh: Web):
    fresh.pair()
    first, second = events(fresh)
    assert events(fresh, f"after={first['sequence']}&timeout=0") == [second]
    assert events(fresh, "timeout=0") == []


def test_the_header_of_a_reconnecting_reader_is_stronger_than_the_query(fresh: Web):
    fresh.pair()
    first, second = events(fresh)
    assert events(fresh, **{"Last-Event-ID": str(first["sequence"])}) == [second]


def test_an_unknown_place_is_announced_as_a_gap(fresh: Web):
    fresh.pair()
    gap, *rest = events(fresh, "after=5&timeout=0")
    assert gap == {"event": "gap", "after": 5, "sequence": rest[0]["sequence"] - 1}
    assert len(rest) == 2


def test_server_sent_events_say_the_same(fresh: Web):
    fresh.pair()
    answer = fresh.ask("GET", "/v1/events?after=0&timeout=0", headers=SSE)
    assert answer.mimetype == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    hello, *said, end = messages(answer.text)
    assert int(hello["retry"]) > 0
    assert [json.loads(each["data"]) for each in said] == events(fresh)
    assert [each["event"] for each in said] == ["created", "created"]
    assert [each["id"] for each in said] == [str(each["sequence"]) for each in events(fresh)]
    assert end["id"] == said[-1]["id"]
    assert "data" not in end


def test_a_reader_to_whom_nothing_happens_hears_heartbeats(fresh: Web):
    answer = fresh.ask("GET", "/v1/events?timeout=0.2", headers=SSE)
    assert answer.text.count(": heartbeat") > 2
    lines = fresh.ask("GET", "/v1/events?timeout=0.2").text.splitlines()
    assert {json.loads(line)["event"] for line in lines} == {"heartbeat"}


@pytest.mark.parametrize("given", ["x", "-1", "1" * 20, "１"])  # noqa: RUF001 (a digit, and none of ours)
def test_an_id_that_is_none_is_refused(fresh: Web, given: str):
    headers = {"Last-Event-ID": given.encode().decode("latin-1")}
    assert fresh.refused("GET", "/v1/events", headers=headers) == (422, "EINVAL")


@pytest.mark.parametrize("query", ["after=-1", "after=x", "timeout=-1", "timeout=nan", "other=1"])
def test_a_query_that_cannot_be_meant_is_refused(fresh: Web, query: str):
    assert fresh.refused("GET", f"/v1/events?{query}") == (422, "EINVAL")


def test_the_head_alone_follows_nothing(fresh: Web):
    assert fresh.ask("HEAD", "/v1/events").status_code == 200
    assert len(fresh.service.following) == 0


def test_one_reader_too_many_is_refused_until_another_has_left(fresh: Web):
    environ = {"gunicorn.socket": fresh.connection}
    client = fresh.app.test_client()
    answers = [client.get("/v1/events", environ_overrides=environ) for _ in range(MOST_OF_ONE)]
    assert fresh.refused("GET", "/v1/events") == (429, "EAGAIN")
    for answer in answers:
        answer.close()
    assert events(fresh) == []
    assert len(fresh.service.following) == 0


def test_the_figures_are_what_prometheus_reads(fresh: Web):
    fresh.pair()
    fresh.refused("DELETE", "/v1/sockets/none")
    answer = fresh.ask("GET", "/metrics")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert all(SAMPLE.fullmatch(line) for line in lines if not line.startswith("#"))
    assert samples['socketd_sockets{family="unix",type="stream"}'] == "2"
    assert samples['socketd_changes_total{change="created",result="ok"}'] == "2"
    assert samples['socketd_changes_total{change="closed",result="EBADF"}'] == "1"
    assert samples['socketd_requests_total{status="404"}'] == "1"
    assert int(samples["process_resident_memory_bytes"]) > 0
    declared = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(declared) == len(set(declared))
    assert {name.partition("{")[0] for name in samples} == set(declared)
