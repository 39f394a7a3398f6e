"""Sending bytes and messages: refused whole, sent whole, or told how much went."""

from __future__ import annotations

import base64
import select
import socket
from typing import TYPE_CHECKING

import pytest

from socketd.web.schemas.problem import ProblemSchema

if TYPE_CHECKING:
    from tests.web.in_process import Web


def send(fd: int, query: str = "") -> str:
    return f"/v1/sockets/{fd}/send{query}"


def received(web: Web, fd: int, **wanted: object) -> list[bytes]:
    body = {"encoding": "base64", "timeout": 5, "max": 100, **wanted}
    answer = web.done("POST", f"/v1/sockets/{fd}/recv", body, {"Accept": "application/json"})
    return [base64.b64decode(message["base64"]) for message in answer["messages"]]


@pytest.mark.parametrize(
    ("body", "members"),
    [
        ({"text": "a", "base64": "YQ=="}, {"body"}),
        ({"text": 1}, {"text"}),
        ({"base64": "?"}, {"base64"}),
        ({"txt": "a"}, {"txt"}),
        ({"messages": []}, {"messages"}),
        ({"messages": [{"text": "a"}], "text": "b"}, {"messages"}),
        ({"messages": [{"text": "a"}, {"txt": "b"}]}, {"messages.1.txt"}),
        ({"text": "a", "flags": ["MSG_PEEK"]}, {"flags"}),
        ({"text": "a", "flags": ["MSG_ZEROCOPY"]}, {"flags"}),
        ({"text": "a", "flags": [1]}, {"flags"}),
        ({"text": "a", "to": "nonsense"}, {"to"}),
        ({"text": "a", "timeout": -1}, {"timeout"}),
    ],
    ids=str,
)
def test_wrong_member_is_named_and_nothing_is_sent(web: Web, body, members):
    near, far = web.pair("dgram")
    assert web.wrong_members("POST", send(near), body) == members
    assert web.refused("POST", f"/v1/sockets/{far}/recv", {"timeout": 0}) == (409, "EAGAIN")


def test_wrong_query_of_raw_bytes_is_named(web: Web):
    near, _ = web.pair()
    assert web.wrong_members("POST", send(near, "?flags=MSG_NONSENSE"), b"x") == {"flags"}
    assert web.wrong_members("POST", send(near, "?text=x"), b"x") == {"text"}


def test_refusals_are_told_with_their_errno(web: Web):
    assert web.refused("POST", send(web.create()["fd"]), b"x") == (502, "EPIPE")
    udp = web.create(type="dgram")["fd"]
    assert web.refused("POST", send(udp), b"x") == (409, "EDESTADDRREQ")
    assert web.refused("POST", send(udp, "?to=127.255.255.255:9"), b"x") == (403, "EACCES")
    assert web.refused("POST", send(udp, "?to=127.0.0.1:9"), b"x" * 65_508) == (413, "EMSGSIZE")
    assert web.refused("POST", send(udp, "?to=[::1]:9"), b"x") == (422, "EAFNOSUPPORT")
    unix = web.create(family="unix", type="dgram")["fd"]
    assert web.refused("POST", send(unix, "?to=/nowhere.sock"), b"x") == (422, "ENOENT")
    assert web.refused("POST", send(unix), b"x") == (409, "ENOTCONN")


def test_full_stream_is_eagain_without_and_504_with_waiting(web: Web):
    near, _ = web.pair()
    while web.done("POST", send(near, "?timeout=0"), b"x" * 65_536)["complete"]:
        pass
    assert web.refused("POST", send(near, "?timeout=0"), b"x" * 65_536) == (409, "EAGAIN")
    assert web.refused("POST", send(near, "?timeout=0.01"), b"x" * 65_536) == (504, "ETIMEDOUT")


def test_what_went_before_the_time_was_over_is_told(web: Web):
    near, far = web.pair()
    total, complete = 0, True
    while complete:
        answer = web.done("POST", send(near, "?timeout=0.01"), b"x" * 65_536)
        total, complete = total + answer["sent"], answer["complete"]
    size = sum(len(data) for data in received(web, far, size=1_000_000, max=1))
    while size < total:
        size += sum(len(data) for data in received(web, far, size=1_000_000, max=1))
    assert size == total


@pytest.mark.parametrize("kind", ["stream", "dgram", "seqpacket"])
@pytest.mark.parametrize("data", [b"bytes", bytes(range(256)), b"\xff\xfe"])
def test_raw_bytes_arrive_as_they_are(web: Web, kind, data):
    near, far = web.pair(kind)
    assert web.done("POST", send(near), data) == {"sent": len(data), "messages": 1, "complete": True}
    assert received(web, far, max=1) == [data]


def test_text_goes_in_utf8_and_base64_as_bytes(web: Web):
    near, far = web.pair("dgram")
    web.done("POST", send(near), {"text": "grüß"})
    web.done("POST", send(near), {"base64": "AP8="})
    web.done("POST", send(near), {})
    assert received(web, far) == ["grüß".encode(), b"\0\xff", b""]


def test_messages_go_to_their_own_addresses(web: Web):
    sender = web.create(type="dgram", bind="127.0.0.1:0")
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        for sock in (one, two):
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(10)
        messages = [
            {"text": f"m{sock.getsockname()[1]}", "to": f"127.0.0.1:{sock.getsockname()[1]}"}
            for sock in (one, two)
        ]
        answer = web.done("POST", send(sender["fd"]), {"messages": messages})
        assert (answer["messages"], answer["complete"]) == (2, True)
        for sock in (one, two):
            data, source = sock.recvfrom(100)
            assert data == b"m%d" % sock.getsockname()[1]
            assert source[1] == sender["local"]["port"]


def test_later_message_that_fails_is_told_beside_what_went(web: Web):
    udp = web.create(type="dgram", bind="127.0.0.1:0")
    to = f"127.0.0.1:{udp['local']['port']}"
    messages = [{"text": "a", "to": to}, {"text": "b", "to": "127.255.255.255:9"}, {"text": "c", "to": to}]
    answer = web.done("POST", send(udp["fd"]), {"messages": messages})
    assert (answer["sent"], answer["messages"], answer["complete"]) == (1, 1, False)
    ProblemSchema().load(answer["error"])
    assert answer["error"]["errno"] == "EACCES"
    assert received(web, udp["fd"]) == [b"a"]


def test_urgent_byte_goes_out_of_band(web: Web):
    listener = web.create(bind="127.0.0.1:0", listen=True)
    with socket.create_connection(("127.0.0.1", listener["local"]["port"])) as peer:
        (far,) = web.done("POST", f"/v1/sockets/{listener['fd']}/accept")["sockets"]
        web.done("POST", send(far["fd"], "?flags=MSG_OOB"), b"!")
        assert select.select([], [], [peer], 10)[2] == [peer]
        assert peer.recv(1, socket.MSG_OOB) == b"!"
