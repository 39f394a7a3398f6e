"""Bytes through the socket handle: what is sent and asked for, cut and gone on with."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest

from socketd_client import BadAnswerError
from tests.client.http_stand_in import Reply, Seen, problem
from tests.client.told_handle import Handle, handle

__all__ = ["handle"]  # fixtures


def message(data: str, source: dict[str, Any] | None = None) -> Reply:
    return Reply(
        {"messages": [{"base64": data, "size": 1, "length": 1, "from": source, "flags": []}], "eof": False}
    )


def test_sendall_goes_on_after_partial_sends(handle: Handle):
    def take_three(seen: Seen) -> Reply:
        took.append(seen.body[:3])
        return Reply({"sent": len(took[-1]), "messages": 1, "complete": False})

    took: list[bytes] = []
    with handle(take_three) as sock:
        sock.sendall(memoryview(bytearray(b"0123456789")))
    assert took == [b"012", b"345", b"678", b"9"]


def test_large_sends_are_cut_to_what_the_daemon_takes(handle: Handle):
    with handle(lambda seen: Reply({"sent": len(seen.body)})) as sock:
        sock.sendall(b"x" * 500_000)
        assert [len(seen.body) for seen in handle.asked] == [200_000, 200_000, 100_000]


def test_datagrams_are_never_cut(handle: Handle):
    with handle(problem("EMSGSIZE", 413), type="dgram") as sock:
        with pytest.raises(OSError, match="EMSGSIZE"):
            sock.send(b"x" * 500_000)
        assert [len(seen.body) for seen in handle.asked] == [500_000]


def test_bytes_travel_as_they_are(handle: Handle):
    with handle(Reply({"sent": 6})) as sock:
        assert sock.send(struct.pack("<3H", 1, 2, 3), socket.MSG_OOB) == 6
        sock.send(memoryview(b"\1\0\2\0\3\0").cast("H"))
    first, second = handle.asked
    assert first.body == second.body == b"\1\0\2\0\3\0"
    assert first.headers["Content-Type"] == "application/octet-stream"
    assert first.query["flags"] == "MSG_OOB"


def test_send_without_a_count_is_a_bad_answer(handle: Handle):
    with handle(Reply({})) as sock, pytest.raises(BadAnswerError):
        sock.send(b"x")


def test_recv_asks_for_no_more_than_the_daemon_gives(handle: Handle):
    with handle(Reply(b"abc")) as sock:
        buffer = bytearray(b"......")
        assert sock.recv_into(buffer) == 3
        assert buffer == b"abc..."
        sock.recv(10**9)
        sock.recv(150_000, socket.MSG_WAITALL)
        assert [seen.query["size"] for seen in handle.asked] == ["6", "100000", "150000"]


def test_recvfrom_gives_the_address_as_a_tuple(handle: Handle):
    source = {"family": "inet", "host": "127.0.0.1", "port": 9, "text": "127.0.0.1:9"}
    with handle(message("aGk=", source), type="dgram") as sock:
        assert sock.recvfrom(10, socket.MSG_PEEK) == (b"hi", ("127.0.0.1", 9))
        buffer = bytearray(4)
        assert sock.recvfrom_into(buffer) == (2, ("127.0.0.1", 9))
        assert handle.asked[0].json()["flags"] == ["MSG_PEEK"]


def test_recvfrom_on_a_stream_tells_no_address(handle: Handle):
    with handle(Reply(b"hi")) as sock:
        assert sock.recvfrom(10) == (b"hi", None)


@pytest.mark.parametrize(
    "reply", [Reply({}), Reply({"messages": [{}]}), message("a"), Reply({"messages": 7})]
)
def test_malformed_message_is_a_bad_answer(handle: Handle, reply: Reply):
    with handle(reply, type="dgram") as sock, pytest.raises(BadAnswerError):
        sock.recvfrom(10)


def test_sendto_names_the_address_in_the_query_or_in_json(handle: Handle):
    with handle(Reply({"sent": 2}), type="dgram", family="unix") as sock:
        sock.sendto(b"hi", b"\0name")
        sock.sendto(b"hi", socket.MSG_DONTWAIT, b"\0\xff")
    plain, encoded = handle.asked
    assert (plain.body, plain.query["to"]) == (b"hi", "@name")
    assert encoded.json() == {
        "base64": "aGk=",
        "to": {"family": "unix", "abstract_base64": "/w=="},
        "timeout": 0.0,
    }
