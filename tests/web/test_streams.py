"""Streams in the application: what a body and an answer are, positions of uploads, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.web.in_process import Web


def stream(fd: int, query: str = "") -> str:
    return f"/v1/sockets/{fd}/stream{query}"


def part(key: str, start: int | None = None) -> dict[str, str]:
    return {"Idempotency-Key": key} | ({} if start is None else {"Upload-Offset": str(start)})


def received(web: Web, fd: int, size: int = 65536) -> bytes:
    """Take what is there, without waiting."""
    answer = web.ask(
        "POST", f"/v1/sockets/{fd}/recv?size={size}&timeout=0", headers={"Accept": "application/octet-stream"}
    )
    return answer.get_data() if answer.status_code == 200 else b""


def test_body_is_sent_and_counted(web: Web):
    near, far = web.pair()
    assert web.done("PUT", stream(near), b"hello") == {"sent": 5, "complete": True}
    assert received(web, far) == b"hello"


def test_body_of_any_type_is_bytes(web: Web):
    near, far = web.pair()
    web.ask("PUT", stream(near), b"{}", content_type="application/json")
    assert received(web, far) == b"{}"


def test_shutdown_write_passes_the_end_on(web: Web):
    near, far = web.pair()
    web.done("PUT", stream(near, "?shutdown=write"), b"last")
    answer = web.ask("GET", stream(far))
    assert (answer.get_data(), answer.mimetype) == (b"last", "application/octet-stream")


def test_stream_ends_with_the_peers_end_and_not_before(web: Web):
    near, far = web.pair()
    web.done("PUT", stream(near), b"one")
    pieces = iter(web.ask("GET", stream(far)).response)
    assert next(pieces) == b"one"
    web.done("PUT", stream(near, "?shutdown=write"), b"two")
    assert list(pieces) == [b"two"]


def test_stream_that_does_not_come_to_its_end_is_cut_off(web: Web):
    _, far = web.pair()
    pieces = iter(web.ask("GET", stream(far, "?timeout=0.01")).response)
    assert next(pieces) == b""  # the head goes at once
    with pytest.raises(BrokenPipeError):
        next(pieces)


@pytest.mark.parametrize("kind", ["dgram", "seqpacket"])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_messages_are_no_stream(web: Web, method: str, kind: str):
    near, _ = web.pair(kind)
    assert web.refused(method, stream(near), b"x" if method == "PUT" else None) == (422, "EOPNOTSUPP")


@pytest.mark.parametrize(("method", "status", "errno"), [("GET", 409, "ENOTCONN"), ("PUT", 502, "EPIPE")])
def test_unconnected_socket_is_refused_before_anything_is_read(
    web: Web, method: str, status: int, errno: str
):
    made = web.create(family="inet")
    body = b"x" if method == "PUT" else None
    assert web.refused(method, stream(made["fd"]), body) == (status, errno)


def test_failure_midway_tells_how_much_was_sent(web: Web):
    near, _ = web.pair()
    answer = web.ask("PUT", stream(near, "?timeout=0"), bytes(10_000_000))
    assert answer.status_code == 409
    assert answer.json["errno"] == "EAGAIN"
    assert 0 < answer.json["sent"] < 10_000_000


def test_bytes_below_the_position_are_passed_over(web: Web):
    near, far = web.pair()
    answer = web.ask("PUT", stream(near), b"0123", headers=part("passed"))
    assert answer.headers["Upload-Offset"] == "4"
    answer = web.ask("PUT", stream(near), b"23456", headers=part("passed", 2))
    assert answer.status_code == 422  # the first has said that there are four
    assert received(web, far) == b"0123"


def test_repeat_sends_nothing_and_answers_the_same(web: Web):
    near, far = web.pair()
    first = web.ask("PUT", stream(near), b"once", headers=part("repeated"))
    again = web.ask("PUT", stream(near), b"once", headers=part("repeated", 0))
    assert (again.json, again.headers["Upload-Offset"]) == (first.json, "4")
    assert received(web, far) == b"once"


def test_upload_goes_on_where_it_stopped(web: Web):
    near, far = web.pair()
    data = bytes(range(256)) * 40_000
    answer = web.ask("PUT", stream(near, "?timeout=0"), data, headers=part("resumed"))
    got = b""
    while answer.status_code != 200:
        position = int(answer.headers["Upload-Offset"])
        while piece := received(web, far, 1_000_000):
            got += piece
        assert len(got) == position
        answer = web.ask(
            "PUT", stream(near, "?timeout=0"), data[position:], headers=part("resumed", position)
        )
    while piece := received(web, far, 1_000_000):
        got += piece
    assert got == data


def test_gap_is_409_and_tells_the_position(web: Web):
    near, far = web.pair()
    answer = web.ask("PUT", stream(near), b"later", headers=part("gap", 3))
    assert (answer.status_code, answer.json["code"]) == (409, "upload_offset")
    assert answer.headers["Upload-Offset"] == "0"
    assert received(web, far) == b""


def test_key_is_of_one_socket(web: Web):
    (near, far), (other, other_far) = web.pair(), web.pair()
    for fd in (near, other):
        web.ask("PUT", stream(fd), b"each", headers=part("shared"))
    assert (received(web, far), received(web, other_far)) == (b"each", b"each")


def test_head_tells_the_position_of_a_known_upload(web: Web):
    near, _ = web.pair()
    web.ask("PUT", stream(near), b"12345", headers=part("asked"))
    assert web.ask("HEAD", stream(near), headers=part("asked")).headers["Upload-Offset"] == "5"
    assert "Upload-Offset" not in web.ask("HEAD", stream(near), headers=part("never")).headers
    assert "Upload-Offset" not in web.ask("HEAD", stream(near)).headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Upload-Offset": "0"},
        part("k") | {"Upload-Offset": "-1"},
        part("k") | {"Upload-Offset": "1.5"},
        {"Idempotency-Key": ""},
        {"Idempotency-Key": "k" * 256},
    ],
)
def test_headers_that_cannot_be_meant_are_422(web: Web, headers: dict[str, str]):
    near, far = web.pair()
    assert web.refused("PUT", stream(near), b"x", headers) == (422, "EINVAL")
    assert received(web, far) == b""


@pytest.mark.parametrize("query", ["?timeout=-1", "?timeout=nan", "?shutdown=read", "?other=1"])
def test_query_that_cannot_be_meant_is_422(web: Web, query: str):
    near, _ = web.pair()
    assert web.refused("PUT", stream(near, query), b"x")[0] == 422


def test_stale_socket_is_412(web: Web):
    near, far = web.pair()
    assert web.refused("PUT", stream(near), b"x", {"If-Match": '"1"'}) == (412, "ESTALE")
    assert web.refused("GET", stream(far), None, {"If-Match": '"1"'}) == (412, "ESTALE")
