"""WebSockets to held sockets: bytes or messages, the end of each direction, and close codes."""

from __future__ import annotations

import base64
import re
import socket

import pytest
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    TextMessage,
)

from tests.web.websockets import BODY_BYTES, RESET, TOKEN, browse, pair, peer, received, sent, small
from tests.websocket_client import Browser

__all__ = ["browse", "peer", "small"]


def test_bytes_go_both_ways_and_an_empty_message_is_the_end(browse, peer):
    fd, far = peer
    browser = browse(fd)
    assert isinstance(browser.answer, AcceptConnection)
    browser.say(BytesMessage(b"to you"))
    assert far.recv(100) == b"to you"
    browser.say(BytesMessage(b""))
    assert far.recv(1) == b""
    far.sendall(b"after your end")
    far.shutdown(socket.SHUT_WR)
    assert browser.message() == b"after your end"
    assert browser.message() == b""
    assert browser.closed() == (1000, "")


def test_what_was_said_before_the_end_arrives(browse, peer):
    fd, far = peer
    browser = browse(fd)
    for word in (b"one", b"two"):
        browser.say(BytesMessage(word))
    browser.say(TextMessage("ü"))
    browser.say(BytesMessage(b""))
    assert b"".join(iter(lambda: far.recv(100), b"")) == "onetwoü".encode()


def test_large_transfers_arrive_whole(browse, peer):
    fd, far = peer
    browser = browse(fd)
    data = bytes(range(256)) * 8192
    for start in range(0, len(data), 100_000):
        browser.say(BytesMessage(data[start : start + 100_000]))
    browser.say(BytesMessage(b""))
    assert b"".join(iter(lambda: far.recv(1 << 16), b"")) == data


def test_close_of_the_client_leaves_the_socket_as_it_is(browse, peer, small):
    fd, far = peer
    browser = browse(fd)
    browser.say(BytesMessage(b"bye"))
    browser.say(CloseConnection(1000))
    assert isinstance(browser.next(), CloseConnection)
    assert far.recv(100) == b"bye"
    assert browser.sock.recv(1) == b""
    assert sent(small, fd, b"still open") == 200
    assert far.recv(100) == b"still open"


def test_ping_is_answered_also_when_the_clients_direction_has_ended(browse, peer):
    fd, _ = peer
    browser = browse(fd)
    browser.say(Ping(b"one"))
    assert browser.next() == Pong(bytearray(b"one"))
    browser.say(BytesMessage(b""))
    browser.say(Ping(b"two"))
    assert browser.next() == Pong(bytearray(b"two"))


def test_bytes_after_the_end_are_a_protocol_error(browse, peer):
    fd, far = peer
    browser = browse(fd)
    browser.say(BytesMessage(b""))
    assert far.recv(1) == b""
    browser.say(BytesMessage(b"more"))
    code, reason = browser.closed()
    assert code == 1002
    assert reason is not None
    assert "the end" in reason


def test_frame_without_a_mask_is_a_protocol_error(browse, peer):
    fd, _ = peer
    browser = browse(fd)
    browser.sock.sendall(b"\x82\x01x")
    assert browser.closed()[0] == 1002


def test_reset_of_the_peer_is_told_by_its_errno(browse, peer):
    fd, far = peer
    browser = browse(fd)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    far.close()
    code, reason = browser.closed()
    assert (code, str(reason).partition(":")[0]) == (1011, "ECONNRESET")


def test_close_of_the_socket_goes_away(browse, small):
    left, _ = pair(small, "stream")
    browser = browse(left)
    assert small.request("DELETE", f"/v1/sockets/{left}").status == 204
    assert browser.closed()[0] == 1001


@pytest.mark.parametrize("kind", ["dgram", "seqpacket"])
def test_message_is_one_datagram_both_ways(browse, small, kind):
    left, right = pair(small, kind)
    browser = browse(left)
    for word in (b"one", b"two"):
        browser.say(BytesMessage(word))
    assert [received(small, right), received(small, right)] == [b"one", b"two"]
    large = b"x" * 100_000
    assert sent(small, right, b"three") == 200
    assert [browser.message()] == [b"three"]
    browser.say(BytesMessage(b"", message_finished=False))
    browser.say(BytesMessage(large[:100], message_finished=True))
    assert received(small, right) == large[:100]


def test_message_that_is_too_long_is_not_sent_in_parts(browse, small):
    left, _ = pair(small, "dgram")
    browser = browse(left)
    browser.say(BytesMessage(b"x" * (BODY_BYTES + 1)))
    assert browser.closed()[0] == 1009


def test_end_of_a_seqpacket_peer_closes(browse, small):
    left, right = pair(small, "seqpacket")
    browser = browse(left)
    assert sent(small, right, b"last") == 200
    assert small.request("DELETE", f"/v1/sockets/{right}").status == 204
    assert browser.message() == b"last"
    assert browser.closed() == (1000, "")


def test_subprotocol_is_ours_and_never_the_token(browse, peer):
    fd, _ = peer
    assert browse(fd, "socketd.v1", "socketd.bearer.eA").answer.subprotocol == "socketd.v1"


def test_origin_of_another_site_is_refused(browse, peer):
    fd, _ = peer
    answer = browse(fd, Origin="http://evil.example").answer
    assert isinstance(answer, RejectConnection)
    assert answer.status_code == 403


def test_version_that_is_not_known_is_426(small, peer):
    fd, _ = peer
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "12"}
    answer = small.request(
        "GET", f"/v1/sockets/{fd}/tunnel", headers={**headers, "Sec-WebSocket-Key": "eA=="}
    )
    assert (answer.status, answer.headers["Sec-WebSocket-Version"]) == (426, "13")


@pytest.mark.parametrize(("token", "status"), [(TOKEN, 101), ("wrong", 401), (None, 401)])
def test_token_comes_as_a_subprotocol_over_tcp(small, peer, token, status):
    fd, _ = peer
    small.await_log("http://127.0.0.1")
    found = re.search(r"http://127\.0\.0\.1:([0-9]+)", small.log)
    assert found is not None
    if status == 101:  # sockets of the token's owner are those of the Unix socket's caller
        assert small.request("GET", f"/v1/sockets/{fd}").status == 200
    offered = ["socketd.v1"]
    if token is not None:
        offered.append("socketd.bearer." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("="))
    browser = Browser(
        socket.create_connection(("127.0.0.1", int(found[1]))), f"/v1/sockets/{fd}/tunnel", offered
    )
    try:
        assert getattr(browser.answer, "status_code", 101) == status
        assert getattr(browser.answer, "subprotocol", "socketd.v1") == "socketd.v1"
    finally:
        browser.close()
