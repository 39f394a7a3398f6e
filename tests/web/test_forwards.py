"""``/v1/forwards``: what is answered, what is refused, and how a client waits and stops."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from socketd.web.schemas.events import EventSchema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.in_process import Web

FORWARDS = "/v1/forwards"


@pytest.fixture
def ends(web: Web) -> tuple[int, int, int, int]:
    """Give the numbers of two pairs; the inner two are to be joined."""
    return (*web.pair(), *web.pair())


@pytest.fixture
def joined(web: Web, ends: tuple[int, int, int, int]) -> Iterator[dict[str, Any]]:
    made = web.done("POST", FORWARDS, {"sockets": list(ends[1:3])})
    yield made
    web.done("DELETE", f"{FORWARDS}/{made['id']}?timeout=0")


def sent(web: Web, fd: int, data: bytes) -> None:
    assert web.done("POST", f"/v1/sockets/{fd}/send", data)["sent"] == len(data)


def received(web: Web, fd: int) -> bytes:
    answer = web.ask("POST", f"/v1/sockets/{fd}/recv?timeout=30&size=100", headers={"Accept": "*/*"})
    assert answer.status_code == 200, answer.text
    return answer.data


@pytest.mark.parametrize(
    ("body", "members"),
    [
        ({}, {"sockets"}),
        ({"sockets": []}, {"sockets"}),
        ({"sockets": [64]}, {"sockets"}),
        ({"sockets": [64, 65, 66]}, {"sockets"}),
        ({"sockets": [64, True]}, {"sockets"}),
        ({"sockets": [64, 6.5]}, {"sockets"}),
        ({"sockets": "64"}, {"sockets"}),
        ({"sockets": [64, 65], "on_end": "shut"}, {"on_end"}),
        ({"sockets": [64, 65], "timeout": 1}, {"timeout"}),
    ],
)
def test_wrong_member_is_named(web: Web, body: dict[str, Any], members: set[str]):
    assert web.wrong_members("POST", FORWARDS, body) == members


def test_the_kernels_and_our_refusals_have_their_statuses(web: Web, ends: tuple[int, int, int, int]):
    stream, fresh = ends[0], web.create()["fd"]
    listener = web.create(bind="127.0.0.1:0", listen=True)["fd"]
    messages, _ = web.pair("seqpacket")

    def refused(*sockets: int | str) -> tuple[int, str]:
        return web.refused("POST", FORWARDS, {"sockets": sockets})

    assert refused(stream, fresh) == (409, "ENOTCONN")
    assert refused(listener, stream) == (409, "ENOTCONN")
    assert refused(stream, messages) == (422, "EOPNOTSUPP")
    assert refused(stream, stream) == (422, "EINVAL")
    assert refused(stream, "nothing") == (404, "EBADF")
    assert web.refused("GET", f"{FORWARDS}/000000000000") == (404, "ENOENT")
    assert web.refused("DELETE", f"{FORWARDS}/000000000000") == (404, "ENOENT")
    for query in ("timeout=-1", "timeout=nan", "until=3"):
        assert web.refused("GET", f"{FORWARDS}/000000000000?{query}") == (422, "EINVAL")


def test_a_forward_has_a_place_and_says_what_it_joins(web: Web, ends: tuple[int, int, int, int]):
    answer = web.ask("POST", FORWARDS, {"sockets": ends[1:3], "on_end": "close"})
    made = answer.json
    assert answer.status_code == 201
    assert re.fullmatch("[0-9a-f]{12}", made["id"])
    assert answer.headers["Location"] == f"{FORWARDS}/{made['id']}"
    assert (made["sockets"], made["state"], made["on_end"]) == (list(ends[1:3]), "running", "close")
    assert made["cookies"] == [web.done("GET", f"/v1/sockets/{fd}")["cookie"] for fd in ends[1:3]]
    assert (made["whole"], made["error"], made["ended_at"]) == (False, None, None)
    assert web.done("GET", f"{FORWARDS}/{made['id']}")["id"] == made["id"]
    assert made["id"] in [one["id"] for one in web.done("GET", FORWARDS)["forwards"]]


def test_names_do_as_well(web: Web):
    left, right = ({"type": "stream", "names": names} for names in (["a", "b"], ["c", "d"]))
    assert web.ask("POST", "/v1/socketpairs", left).status_code == 201
    assert web.ask("POST", "/v1/socketpairs", right).status_code == 201
    made = web.done("POST", FORWARDS, {"sockets": ["b", "c"]})
    sent(web, int(web.done("GET", "/v1/sockets/a")["fd"]), b"by name")
    assert received(web, int(web.done("GET", "/v1/sockets/d")["fd"])) == b"by name"
    web.done("DELETE", f"{FORWARDS}/{made['id']}")


def test_bytes_go_both_ways_while_the_two_are_busy(
    web: Web, ends: tuple[int, int, int, int], joined: dict[str, Any]
):
    near, first, second, far = ends
    sent(web, near, b"there")
    assert received(web, far) == b"there"
    sent(web, far, b"and back")
    assert received(web, near) == b"and back"
    for fd in (first, second):
        assert web.refused("POST", f"/v1/sockets/{fd}/recv?timeout=30") == (409, "EBUSY")
        assert web.refused("POST", f"/v1/sockets/{fd}/send", b"x") == (409, "EBUSY")
    assert web.refused("POST", FORWARDS, {"sockets": [near, second]}) == (409, "EBUSY")
    stopped = web.done("DELETE", f"{FORWARDS}/{joined['id']}")
    assert stopped["moved_bytes"] == {"to_first": 8, "to_second": 5}
    assert stopped["undelivered_bytes"] == {"to_first": 0, "to_second": 0}
    assert stopped["state"] == "ended"


def test_a_wait_answers_with_the_end(web: Web, ends: tuple[int, int, int, int], joined: dict[str, Any]):
    assert web.done("GET", f"{FORWARDS}/{joined['id']}?timeout=0.01")["state"] == "running"
    for fd in (ends[0], ends[3]):
        web.done("POST", f"/v1/sockets/{fd}/shutdown", {"how": "write"})
    ended = web.done("GET", f"{FORWARDS}/{joined['id']}?timeout=30")
    assert (ended["state"], ended["whole"], ended["error"]) == ("ended", True, None)
    assert ended["ended_at"] >= ended["created_at"]


def test_if_match_is_about_both(web: Web, ends: tuple[int, int, int, int]):
    tags = [f'"{web.done("GET", f"/v1/sockets/{fd}")["cookie"]}"' for fd in ends[1:3]]
    body = {"sockets": ends[1:3]}
    assert web.refused("POST", FORWARDS, body, {"If-Match": tags[0]}) == (412, "ESTALE")
    made = web.done("POST", FORWARDS, body, {"If-Match": ", ".join(tags)})
    web.done("DELETE", f"{FORWARDS}/{made['id']}")


def test_a_repeat_is_answered_with_the_forward_that_was_made(web: Web, ends: tuple[int, int, int, int]):
    body, headers = {"sockets": ends[1:3]}, {"Idempotency-Key": "forward-once"}
    made, again = (web.done("POST", FORWARDS, body, headers) for _ in range(2))
    assert again == made
    web.done("DELETE", f"{FORWARDS}/{made['id']}")


def test_an_error_is_told_as_a_problem(web: Web, ends: tuple[int, int, int, int]):
    listener = web.create(bind="127.0.0.1:0", listen=True)
    near = web.create(connect=listener["local"]["text"])["fd"]
    (far,) = web.done("POST", f"/v1/sockets/{listener['fd']}/accept")["sockets"]
    made = web.done("POST", FORWARDS, {"sockets": [near, ends[1]]})
    lingering = {"value": {"enabled": True, "seconds": 0}}
    web.done("PUT", f"/v1/sockets/{far['fd']}/options/SO_LINGER", lingering)
    assert web.ask("DELETE", f"/v1/sockets/{far['fd']}").status_code == 204
    ended = web.done("GET", f"{FORWARDS}/{made['id']}?timeout=30")
    assert (ended["whole"], ended["error"]["errno"]) == (False, "ECONNRESET")


def test_events_tell_of_both_halves(web: Web, ends: tuple[int, int, int, int]):
    made = web.done("POST", FORWARDS, {"sockets": ends[1:3]})
    sent(web, ends[0], b"there")
    assert received(web, ends[3]) == b"there"
    web.done("DELETE", f"{FORWARDS}/{made['id']}")
    lines = web.ask("GET", "/v1/events?after=0&timeout=0").text.splitlines()
    said = [json.loads(line) for line in lines]
    halves = [each for each in said if each.get("forward") and each["forward"]["id"] == made["id"]]
    for each in halves:
        EventSchema().load(each)
    assert [each["event"] for each in halves] == ["forward_started"] * 2 + ["forward_ended"] * 2
    assert [each["socket"]["fd"] for each in halves] == [*ends[1:3], *ends[1:3]]
    assert [each["forward"]["delivered_bytes"] for each in halves] == [0, 0, 0, 5]


def test_metrics_count_forwards_and_their_bytes(
    web: Web, ends: tuple[int, int, int, int], joined: dict[str, Any]
):
    def figures() -> dict[str, float]:
        lines = web.ask("GET", "/metrics").text.splitlines()
        return {
            name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")
        }

    before = figures()["socketd_forwarded_bytes_total"]
    assert figures()["socketd_forwards"] == 1
    sent(web, ends[0], b"there")
    assert received(web, ends[3]) == b"there"
    web.done("DELETE", f"{FORWARDS}/{joined['id']}")
    assert figures()["socketd_forwards"] == 0
    assert figures()["socketd_forwarded_bytes_total"] == before + 5
