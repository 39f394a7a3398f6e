"""Receiving raw and as JSON: sizes, flags, the end, and where a message came from."""

from __future__ import annotations

import base64
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.web.in_process import RECV_BYTES

if TYPE_CHECKING:
    from tests.web.in_process import Web

AS_JSON = {"Accept": "application/json"}


def recv(fd: int, query: str = "") -> str:
    return f"/v1/sockets/{fd}/recv{query}"


def send(web: Web, fd: int, *messages: bytes) -> None:
    for data in messages:
        web.done("POST", f"/v1/sockets/{fd}/send", data)


def json_of(web: Web, fd: int, **body: Any) -> Any:
    return web.done("POST", recv(fd), {"timeout": 5, **body}, AS_JSON)


@pytest.mark.parametrize(
    ("body", "members"),
    [
        ({"size": -1}, {"size"}),
        ({"size": "1"}, {"size"}),
        ({"size": RECV_BYTES + 1}, {"size"}),
        ({"max": 0}, {"max"}),
        ({"flags": ["MSG_OOPS"]}, {"flags"}),
        ({"flags": ["MSG_MORE"]}, {"flags"}),
        ({"encoding": "hex"}, {"encoding"}),
        ({"sise": 1}, {"sise"}),
        ({"max": 2}, {"max"}),
    ],
    ids=str,
)
def test_wrong_member_is_named_and_nothing_is_taken(web: Web, body, members):
    near, far = web.pair("dgram")
    send(web, near, b"kept")
    assert web.wrong_members("POST", recv(far), body) == members
    assert web.ask("POST", recv(far, "?timeout=0")).data == b"kept"


def test_refusals_are_told_with_their_errno(web: Web):
    assert web.refused("POST", recv(web.create()["fd"])) == (409, "ENOTCONN")
    _, far = web.pair()
    assert web.refused("POST", recv(far, "?timeout=0")) == (409, "EAGAIN")
    assert web.refused("POST", recv(far), {"timeout": 0.01}) == (504, "ETIMEDOUT")
    assert web.refused("POST", recv(far, "?flags=MSG_OOB&timeout=0"))[0] in (409, 422)


def test_raw_bytes_have_their_facts_in_the_headers(web: Web):
    near, far = web.pair()
    send(web, near, b"\x00\xff bytes")
    answer = web.ask("POST", recv(far))
    assert (answer.mimetype, answer.data) == ("application/octet-stream", b"\x00\xff bytes")
    assert (answer.headers["Socket-Eof"], answer.headers["Socket-Length"]) == ("false", "8")
    assert "Socket-From" not in answer.headers


def test_end_is_an_empty_answer_that_says_so(web: Web):
    near, far = web.pair()
    send(web, near, b"last")
    web.ask("DELETE", f"/v1/sockets/{near}")
    assert web.ask("POST", recv(far)).data == b"last"
    answer = web.ask("POST", recv(far))
    assert (answer.status_code, answer.data, answer.headers["Socket-Eof"]) == (200, b"", "true")
    assert json_of(web, far)["eof"] is True


@pytest.mark.parametrize("kind", ["dgram", "seqpacket"])
def test_empty_message_is_no_end(web: Web, kind):
    near, far = web.pair(kind)
    send(web, near, b"", b"after")
    answer = web.ask("POST", recv(far))
    assert (answer.data, answer.headers["Socket-Eof"], answer.headers["Socket-Length"]) == (b"", "false", "0")
    assert json_of(web, far)["messages"][0]["text"] == "after"


def test_datagram_says_where_it_came_from(web: Web):
    held = web.create(type="dgram", bind="127.0.0.1:0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        for _ in range(2):
            sender.sendto(b"x", ("127.0.0.1", held["local"]["port"]))
        port = sender.getsockname()[1]
    assert web.ask("POST", recv(held["fd"])).headers["Socket-From"] == f"127.0.0.1:{port}"
    (message,) = json_of(web, held["fd"])["messages"]
    assert (message["from"]["host"], message["from"]["port"]) == ("127.0.0.1", port)


def test_source_that_is_no_ascii_fits_into_a_header(web: Web, tmp_path):
    held = web.create(type="dgram", bind=str(tmp_path / "s"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.bind(f"{tmp_path}/grüße\n")
        sender.sendto(b"x", str(tmp_path / "s"))
        answer = web.ask("POST", recv(held["fd"]))
    assert (answer.status_code, answer.data) == (200, b"x")
    assert answer.headers["Socket-From"].isascii()


def test_cut_datagram_tells_its_length(web: Web):
    near, far = web.pair("dgram")
    send(web, near, b"0123456789", b"0123456789")
    answer = web.ask("POST", recv(far, "?size=4"))
    assert (answer.data, answer.headers["Socket-Length"], answer.headers["Socket-Flags"]) == (
        b"0123",
        "10",
        "MSG_TRUNC",
    )
    (message,) = json_of(web, far, size=4)["messages"]
    assert (message["text"], message["size"], message["length"], message["flags"]) == (
        "0123",
        4,
        10,
        ["MSG_TRUNC"],
    )


def test_several_messages_are_taken_as_far_as_they_are_there(web: Web):
    near, far = web.pair("dgram")
    send(web, near, b"a", b"b", b"c")
    assert [message["text"] for message in json_of(web, far, max=2)["messages"]] == ["a", "b"]
    assert [message["text"] for message in json_of(web, far, max=2)["messages"]] == ["c"]


def test_peek_takes_nothing(web: Web):
    near, far = web.pair()
    send(web, near, b"there")
    for _ in range(2):
        assert web.ask("POST", recv(far, "?flags=MSG_PEEK")).data == b"there"
    assert web.ask("POST", recv(far)).data == b"there"


def test_waitall_gives_all_or_what_is_there_when_the_time_is_over(web: Web):
    near, far = web.pair()
    send(web, near, b"1234")
    body = {"flags": ["MSG_WAITALL"], "size": 4, "timeout": 5}
    assert web.ask("POST", recv(far), body).data == b"1234"
    send(web, near, b"12")
    assert web.ask("POST", recv(far), body | {"timeout": 0.01}).data == b"12"


def test_encodings_show_the_same_bytes(web: Web):
    near, far = web.pair("dgram")
    send(web, near, *[b"\xffx"] * 3)
    assert base64.b64decode(json_of(web, far)["messages"][0]["base64"]) == b"\xffx"
    assert base64.b64decode(json_of(web, far, encoding="base64")["messages"][0]["base64"]) == b"\xffx"
    assert json_of(web, far, encoding="text")["messages"][0]["text"] == "\ufffdx"


def test_query_and_body_ask_the_same(web: Web):
    near, far = web.pair()
    send(web, near, b"abcdef")
    assert web.ask("POST", recv(far, "?size=2")).data == b"ab"
    assert web.ask("POST", recv(far), {"size": 2}).data == b"cd"
    assert web.ask("POST", recv(far, "?size=1"), {"size": 2}).data == b"ef"
