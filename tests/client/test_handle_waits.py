"""How the socket handle waits: timeouts, waits cut by the daemon, and a connect that takes long."""

from __future__ import annotations

import errno
import socket

import pytest

from tests.client.http_stand_in import TIMED_OUT, WOULD_BLOCK, Reply, problem, socket_json
from tests.client.told_handle import CALLS, Handle, handle

__all__ = ["handle"]  # fixtures


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


def test_sendall_with_no_time_left_is_a_timeout_error(handle: Handle):
    with handle(Reply({"sent": 1}), TIMED_OUT) as sock:
        sock.settimeout(0.01)
        with pytest.raises(TimeoutError):
            sock.sendall(b"x" * 50)


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
