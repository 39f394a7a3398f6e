"""The socket handle against a server that answers as told: what it asks for, and what it remembers."""

from __future__ import annotations

import errno
import os
import pickle
import select
import socket
from typing import Any

import pytest

from socketd_client import BadAnswerError
from tests.client.http_stand_in import Reply, problem, socket_json
from tests.client.told_handle import CALLS, Handle, handle

__all__ = ["handle"]  # fixtures

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
