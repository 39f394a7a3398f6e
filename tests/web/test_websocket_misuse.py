"""WebSockets whose clients flood or break the protocol, and held sockets that do not take what is said."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from wsproto.events import BytesMessage, Ping

from tests.web.websockets import BODY_BYTES, RESET, browse, pair, peer, received, small

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.websocket_client import Browser

__all__ = ["browse", "peer", "small"]

PING, PONG, BYTES, MORE, LAST = 0x89, 0x8A, 0x82, 0x02, 0x80
BLOCK = struct.pack(">BBQ4s", BYTES, 0xFF, 1 << 20, b"mask") + b"x" * (1 << 20)


def frame(head: int, payload: bytes) -> bytes:
    """Write a short frame as a client does, with a mask of zeros."""
    return bytes((head, 0x80 | len(payload))) + bytes(4) + payload


@contextmanager
def flooding(browser: Browser, data: bytes) -> Iterator[threading.Thread]:
    """Have a client send the same for as long as the block runs and the daemon lets it."""
    is_over = threading.Event()

    def flood() -> None:
        with suppress(OSError):
            while not is_over.is_set():
                browser.sock.sendall(data)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        yield thread
    finally:
        is_over.set()
        with suppress(OSError):
            browser.sock.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("flood", [frame(BYTES, b"x") * 10_000, BLOCK, frame(PING, b"") * 10_000])
def test_daemon_serves_others_while_a_client_answers_its_close_by_a_flood(browse, peer, small, flood):
    fd, far = peer
    browser = browse(fd)
    with flooding(browser, flood) as thread:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        far.close()
        while thread.is_alive():
            assert small.request("GET", "/healthz", timeout_s=30).status == 200


def test_daemon_serves_others_while_a_client_floods_after_a_breach(browse, peer, small):
    fd, _ = peer
    browser = browse(fd)
    browser.sock.sendall(b"\xff\xff no frame")
    with flooding(browser, b"x" * (1 << 20)) as thread:
        while thread.is_alive():
            assert small.request("GET", "/healthz", timeout_s=30).status == 200


@pytest.mark.parametrize("kind", [BYTES, PING])
def test_tiny_frames_leave_others_their_turns(browse, peer, small, kind):
    fd, far = peer
    browser = browse(fd)
    far.setblocking(False)  # noqa: FBT003 - the socket module's signature
    count, served = 100_000, 0
    tiny = frame(kind, b"x") * count + frame(BYTES, b"end")
    with flooding(browser, tiny) as thread:
        reading = threading.Thread(target=read_all, args=(browser.sock,))
        reading.start()
        connection = small.connection()
        seen = b""
        while b"end" not in seen:
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
            served += 1
            with suppress(BlockingIOError):
                seen = seen[-2:] + far.recv(1 << 20)
        connection.close()
        browser.sock.shutdown(socket.SHUT_RDWR)
        reading.join()
    assert not thread.is_alive()
    # Without turns of their own the others have one in half a megabyte, which are two here.
    assert served > 50, served


def read_all(sock: socket.socket) -> None:
    with suppress(OSError):
        while sock.recv(1 << 16):
            pass


@pytest.mark.parametrize("end", [frame(LAST, b"the rest"), frame(0, b"more") + frame(LAST, b"the rest")])
def test_nothing_of_a_message_that_grows_too_long_is_sent(browse, small, end):
    left, right = pair(small, "dgram")
    browser = browse(left)
    head = struct.pack(">BBQ4s", MORE, 0xFF, BODY_BYTES + 1, b"\0\0\0\0")
    browser.sock.sendall(head + b"x" * (BODY_BYTES + 1) + end)
    assert browser.closed()[0] == 1009
    answer = small.request("POST", f"/v1/sockets/{right}/recv", {"timeout": 0})
    assert (answer.status, answer.json()["errno"]) == (409, "EAGAIN")


def test_datagram_that_the_kernel_refuses_ends_it_with_the_errno(browse, small):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{far.getsockname()[1]}"
        made = small.request("POST", "/v1/sockets", {"type": "dgram", "connect": address}).json()
        browser = browse(made["fd"])
        far.sendto(b"said before", (made["local"]["host"], made["local"]["port"]))
        assert browser.message() == b"said before"
        browser.say(BytesMessage(bytes(65_508)))  # one more than a datagram over IPv4 holds
        code, reason = browser.closed()
    assert (code, str(reason).partition(":")[0]) == (1011, "EMSGSIZE")


def test_peer_that_takes_no_more_is_heard_out(browse, small):
    left, right = pair(small, "stream")
    assert small.request("POST", f"/v1/sockets/{right}/shutdown", {"how": "read"}).status == 200
    raw = {"Content-Type": "application/octet-stream"}
    assert small.request("POST", f"/v1/sockets/{right}/send", b"my last words", raw).status == 200
    browser = browse(left)
    browser.say(BytesMessage(b"anybody there?"))
    assert browser.message() == b"my last words"
    code, reason = browser.closed()
    assert (code, str(reason).partition(":")[0]) == (1011, "EPIPE")


def test_control_frames_come_between_the_fragments_of_a_message(browse, small):
    left, right = pair(small, "dgram")
    browser = browse(left)
    browser.sock.sendall(frame(MORE, b"one ") + frame(PING, b"?") + frame(0, b"two ") + frame(PONG, b""))
    assert browser.next().payload == b"?"
    browser.sock.sendall(frame(LAST, b"three"))
    assert received(small, right) == b"one two three"


@pytest.mark.parametrize(
    ("breach", "code"),
    [
        (frame(0x81, b"\xff\xfe"), 1007),
        (frame(0x88, b"\x03\xe8\xff"), 1007),  # 1000, and no UTF-8
        (frame(0x88, b"\x03"), 1002),
        (frame(0x88, b"\x03\xed"), 1002),  # 1005, which nobody sends
        (frame(0x83, b"x"), 1002),
        (frame(0xC2, b"x"), 1002),
        (frame(0x09, b"x"), 1002),
        (frame(LAST, b"of none"), 1002),
        (frame(MORE, b"x") + frame(BYTES, b"y"), 1002),
        (bytes((PING, 0xFE, 0, 126)) + bytes(130), 1002),
        (struct.pack(">BBQ4s", BYTES, 0xFF, 1 << 63, b"mask"), 1002),
    ],
)
def test_breach_is_told_by_its_code_and_leaves_the_socket_as_it_is(browse, small, breach, code):
    left, right = pair(small, "stream")
    browser = browse(left)
    browser.say(BytesMessage(b"before"))
    browser.sock.sendall(breach)
    assert browser.closed()[0] == code
    assert received(small, right).startswith(b"before")
    assert small.request("GET", f"/v1/sockets/{left}").json()["state"] == "connected"


def test_ping_is_answered_after_a_flood_of_them_that_was_not_read(browse, peer):
    fd, far = peer
    browser = browse(fd)
    count = 50_000
    with flooding_once(browser, frame(PING, b"") * count):
        pongs = 0
        while pongs < count:
            assert not browser.next().payload
            pongs += 1
    browser.say(Ping(b"last"))
    assert browser.next().payload == b"last"
    browser.say(BytesMessage(b"on"))
    assert far.recv(10) == b"on"


@contextmanager
def flooding_once(browser: Browser, data: bytes) -> Iterator[None]:
    thread = threading.Thread(target=browser.sock.sendall, args=(data,))
    thread.start()
    yield
    thread.join()
