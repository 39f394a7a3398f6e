"""The socket handle against a server that answers as told: what it asks for, and how it waits."""

from __future__ import annotations

import errno
import os
import pickle
import select
import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import BadAnswerError, Client, Socket
from tests.client.http_stand_in import (
    SERVICE,
    TIMED_OUT,
    WOULD_BLOCK,
    Reply,
    Seen,
    problem,
    serving,
    socket_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Handle:
    """A socket handle, and what was asked through it; answers are given in turn, the last one for ever."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.asked: list[Seen] = []

    @contextmanager
    def __call__(self, *answers: Reply | Callable[[Seen], Reply], **members: Any) -> Iterator[Socket]:
        given = list(answers)

        def answer(seen: Seen) -> Reply:
            if seen.path in ("/v1/", "/v1/sockets/0"):
                return Reply(SERVICE if seen.path == "/v1/" else socket_json(**members))
            self.asked.append(seen)
            reply = given.pop(0) if len(given) > 1 else given[0]
            return reply if isinstance(reply, Reply) else reply(seen)

        with serving(answer, self._folder / "s") as server, Client(server.url) as client:
            yield client.sockets.get(0)


@pytest.fixture
def handle(tmp_path: Path) -> Handle:
    return Handle(tmp_path)


def message(data: str, source: dict[str, Any] | None = None) -> Reply:
    return Reply(
        {"messages": [{"base64": data, "size": 1, "length": 1, "from": source, "flags": []}], "eof": False}
    )


REFUSED_ARGUMENTS = [
    ("recv", (-1,), ValueError),
    ("recvfrom", (-1,), ValueError),
    ("recv_into", (bytearray(2), -1), ValueError),
    ("recv_into", (bytearray(2), 3), ValueError),
    ("recvfrom_into", (bytearray(2), 3), ValueError),
    ("recv_into", (b"constant",), TypeError),
    ("recvfrom_into", (b"constant",), TypeError),
    ("send", ("text",), TypeError),
    ("sendall", (7,), TypeError),
    ("sendto", (b"x",), TypeError),
    ("sendto", (b"x", 0, ("127.0.0.1", 1), 2), TypeError),
    ("sendto", (b"x", ["127.0.0.1", 1]), TypeError),
    ("connect", ("127.0.0.1:80",), TypeError),
    ("bind", (("127.0.0.1", 65536),), OverflowError),
    ("settimeout", (-1,), ValueError),
    ("settimeout", ("x",), (TypeError, ValueError)),
    ("settimeout", (float("nan"),), ValueError),
    ("settimeout", (1e300,), OverflowError),
    ("shutdown", (7,), OSError),
    ("getsockopt", (1, 2, -1), OSError),
    ("getsockopt", (1, 2, 1025), OSError),
    ("setsockopt", (1, 2, None), TypeError),
    ("setsockopt", (1, 2, 1, 4), TypeError),
    ("setsockopt", (1, 2, None, 4), OSError),
    ("recv", (1, 1 << 27), OSError),
]


@pytest.mark.parametrize(("method", "arguments", "error"), REFUSED_ARGUMENTS)
def test_bad_argument_is_refused_before_anything_is_sent(
    handle: Handle, method: str, arguments: tuple[Any, ...], error: Any
):
    with handle(Reply({"sent": 0})) as sock:
        with pytest.raises(error):
            getattr(sock, method)(*arguments)
        assert handle.asked == []


CALLS = {
    "bind": (("127.0.0.1", 0),),
    "listen": (),
    "accept": (),
    "connect": (("127.0.0.1", 1),),
    "send": (b"x",),
    "sendall": (b"x",),
    "sendto": (b"x", ("127.0.0.1", 1)),
    "recv": (1,),
    "recvfrom": (1,),
    "shutdown": (2,),
    "getsockname": (),
    "getpeername": (),
    "getsockopt": (1, 2),
    "setsockopt": (1, 2, 3),
    "info": (),
    "inspect": (),
    "option": ("SO_REUSEADDR",),
    "set_option": ("SO_REUSEADDR", True),
    "options": (),
    "close": (),
}


@pytest.mark.parametrize("method", [name for name in CALLS if name != "close"])
def test_closed_handle_is_ebadf_without_asking(handle: Handle, method: str):
    with handle(Reply({})) as sock:
        sock.detach()
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            getattr(sock, method)(*CALLS[method])
        assert caught.value.errno == errno.EBADF
        assert handle.asked == []


@pytest.mark.parametrize("method", CALLS)
def test_every_call_says_which_socket_it_means(handle: Handle, method: str):
    with handle(problem("ESTALE", 412)) as sock:
        with pytest.raises(OSError, match="ESTALE") as caught:
            getattr(sock, method)(*CALLS[method])
        assert caught.value.errno == errno.ESTALE
        assert {seen.headers["If-Match"] for seen in handle.asked} == {'"4097"'}


def test_closed_handle_still_tells_what_it_was(handle: Handle):
    with handle(Reply({})) as sock:
        sock.settimeout(3)
        sock.close()
        sock.close()
        assert len(handle.asked) == 1
        assert (sock.fileno(), sock.gettimeout(), sock.getblocking()) == (-1, 3.0, True)
        assert (sock.family, sock.type, sock.proto) == (
            socket.AF_INET,
            socket.SOCK_STREAM,
            socket.IPPROTO_TCP,
        )
        assert "fd=-1" in repr(sock)


def test_lost_answer_to_close_leaves_the_handle_open(handle: Handle):
    with handle(Reply({})) as sock:
        sock._exchange.close()  # noqa: SLF001 - the nearest thing to an unreachable daemon
        with pytest.raises(ValueError, match="closed"):
            sock.close()
        assert sock.fileno() != -1


def test_leaving_the_block_closes(handle: Handle):
    with handle(Reply({})) as sock:
        with sock as same:
            assert same is sock
        assert [seen.method for seen in handle.asked] == ["DELETE"]


def test_handle_is_not_pickled(handle: Handle):
    with handle(Reply({})) as sock, pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(sock)


def test_fileno_is_no_descriptor_of_this_process(handle: Handle):
    with handle(Reply({})) as sock:
        number = sock.fileno()
        assert number == 2**30 + 64
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.close(number)
        with pytest.raises(ValueError, match="out of range"):
            select.select([sock], [], [], 0)
        poll = select.poll()
        poll.register(sock)
        assert poll.poll(0) == [(number, select.POLLNVAL)]


def test_timeout_zero_raises_blocking_io_error_at_once(handle: Handle):
    with handle(WOULD_BLOCK) as sock:
        sock.settimeout(0)
        assert (sock.gettimeout(), sock.getblocking()) == (0.0, False)
        for method, arguments in [("recv", (1,)), ("recvfrom", (1,)), ("accept", ()), ("sendall", (b"x",))]:
            with pytest.raises(BlockingIOError):
                getattr(sock, method)(*arguments)
        assert len(handle.asked) == 4


def test_dontwait_is_a_timeout_of_zero_for_one_call(handle: Handle):
    with handle(WOULD_BLOCK) as sock:
        with pytest.raises(BlockingIOError):
            sock.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        with pytest.raises(BlockingIOError):
            sock.send(b"x", socket.MSG_DONTWAIT)
        assert [(seen.query["timeout"], seen.query.get("flags")) for seen in handle.asked] == [
            ("0.0", "MSG_PEEK"),
            ("0.0", None),
        ]


@pytest.mark.parametrize("method", ["recv", "accept", "recvfrom", "send", "sendall", "connect"])
def test_wait_that_runs_out_is_a_timeout_error(handle: Handle, method: str):
    with handle(
        TIMED_OUT, lambda seen: Reply({"ready": []}) if seen.path == "/v1/poll" else TIMED_OUT
    ) as sock:
        sock.settimeout(0.01)
        with pytest.raises(TimeoutError):
            getattr(sock, method)(*CALLS[method])


def test_wait_goes_on_where_the_daemon_waits_less_than_asked(handle: Handle):
    with handle(TIMED_OUT, TIMED_OUT, Reply(b"late")) as sock:
        sock.settimeout(1000)
        assert sock.recv(10) == b"late"
        asked = [float(seen.query["timeout"]) for seen in handle.asked]
    assert len(asked) == 3
    assert max(asked) <= 30


def test_wait_without_end_asks_again(handle: Handle):
    with handle(TIMED_OUT, TIMED_OUT, Reply({"sockets": [socket_json(fd=65)]})) as sock:
        assert sock.accept()[0].fd == 65
        assert len(handle.asked) == 3


def test_connection_that_timed_out_is_not_waited_for_again(handle: Handle):
    with handle(problem("ETIMEDOUT", 504)) as sock:
        with pytest.raises(TimeoutError):
            sock.recv(1)
        assert len(handle.asked) == 1


def test_sendall_goes_on_after_partial_sends(handle: Handle):
    def take_three(seen: Seen) -> Reply:
        took.append(seen.body[:3])
        return Reply({"sent": len(took[-1]), "messages": 1, "complete": False})

    took: list[bytes] = []
    with handle(take_three) as sock:
        sock.sendall(memoryview(bytearray(b"0123456789")))
    assert took == [b"012", b"345", b"678", b"9"]


def test_sendall_with_no_time_left_is_a_timeout_error(handle: Handle):
    with handle(Reply({"sent": 1}), TIMED_OUT) as sock:
        sock.settimeout(0.01)
        with pytest.raises(TimeoutError):
            sock.sendall(b"x" * 50)


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


@pytest.mark.parametrize("body", [{}, {"sockets": []}, {"sockets": [{}]}, {"sockets": [7]}])
def test_accept_without_a_socket_is_a_bad_answer(handle: Handle, body: dict[str, Any]):
    with handle(Reply(body, 201)) as sock, pytest.raises(BadAnswerError):
        sock.accept()


def test_accept_gives_a_blocking_socket(handle: Handle):
    peer = {"family": "inet", "host": "127.0.0.1", "port": 9}
    with handle(Reply({"sockets": [socket_json(fd=70, peer=peer)]}, 201)) as sock:
        sock.settimeout(5)
        accepted, address = sock.accept()
        assert (accepted.fd, address, accepted.gettimeout()) == (70, ("127.0.0.1", 9), None)


def test_every_new_handle_honours_the_default_timeout(handle: Handle):
    socket.setdefaulttimeout(4)
    try:
        with handle(Reply({"sockets": [socket_json(fd=70)]}, 201)) as sock:
            assert sock.accept()[0].gettimeout() == 4
    finally:
        socket.setdefaulttimeout(None)


def test_connect_that_takes_long_is_waited_for_by_poll(handle: Handle):
    ready = Reply({"ready": [{"socket": 64, "fd": 64, "events": ["POLLOUT"]}]})
    error = Reply({"name": "SO_ERROR", "level": 1, "number": 4, "type": "bytes", "base64": "bwAAAA=="})
    with handle(TIMED_OUT, Reply({"ready": []}), ready, error) as sock:
        with pytest.raises(ConnectionRefusedError):
            sock.connect(("127.0.0.1", 1))
        assert [seen.path.rpartition("/")[2] for seen in handle.asked] == ["connect", "poll", "poll", "1:4"]


@pytest.mark.parametrize(
    ("reply", "number"),
    [
        (Reply(socket_json()), 0),
        (problem("ECONNREFUSED", 502), errno.ECONNREFUSED),
        (problem("EINPROGRESS"), errno.EINPROGRESS),
        (problem("ETIMEDOUT", 504), errno.ETIMEDOUT),
    ],
)
def test_connect_ex_returns_the_errno(handle: Handle, reply: Reply, number: int):
    with handle(reply) as sock:
        assert sock.connect_ex(("127.0.0.1", 1)) == number


def test_connect_ex_that_runs_out_of_time_is_eagain(handle: Handle):
    with handle(TIMED_OUT, Reply({"ready": []})) as sock:
        sock.settimeout(0.01)
        assert sock.connect_ex(("127.0.0.1", 1)) == errno.EAGAIN


def test_connect_ex_raises_what_the_resolver_says(handle: Handle):
    with handle(problem("EAI_NONAME", 422)) as sock, pytest.raises(socket.gaierror):
        sock.connect_ex(("no-such-host.invalid", 1))


def test_options_are_ints_or_bytes(handle: Handle):
    with handle(Reply({"name": "?", "level": 6, "number": 1, "type": "bytes", "base64": "AQAAAA=="})) as sock:
        assert sock.getsockopt(6, 1) == 1
        assert sock.getsockopt(6, 1, 16) == b"\1\0\0\0"
        sock.setsockopt(6, 1, 1)
        sock.setsockopt(6, 1, b"\1")
    assert [seen.query.get("length") for seen in handle.asked] == ["4", "16", None, None]
    assert [seen.path for seen in handle.asked] == ["/v1/sockets/64/options/6:1"] * 4
    assert [seen.json() for seen in handle.asked[2:]] == [{"base64": "AQAAAA=="}, {"base64": "AQ=="}]


def test_addresses_of_an_unbound_socket(handle: Handle):
    with handle(Reply(socket_json())) as sock:
        assert sock.getsockname() == ("0.0.0.0", 0)
        with pytest.raises(OSError, match="not connected") as caught:
            sock.getpeername()
        assert caught.value.errno == errno.ENOTCONN


def test_answers_are_remembered(handle: Handle):
    local = {"family": "inet", "host": "127.0.0.1", "port": 80, "text": "127.0.0.1:80"}
    with handle(Reply(socket_json(state="bound", local=local, name="web"))) as sock:
        sock.bind(("127.0.0.1", 80))
        assert sock.snapshot.state == "bound"
        assert repr(sock) == "<Socket fd=64 inet stream bound name='web' local=127.0.0.1:80>"
