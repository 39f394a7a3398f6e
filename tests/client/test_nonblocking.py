"""A socket that never makes its description blocking, beside a plain one: timeouts and wrong use."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client.nonblocking import Nonblocking
from tests.client.nonblocking_pairs import DONTWAIT, WAITALL, Pair, ours, pair, pair_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ours", "pair"]  # fixtures

TIMEOUTS = [None, 0, 0.0, 5, 0.25]


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_timeout_reads_back_as_it_was_set(pair: Pair, timeout: float | None):
    one, _ = pair
    one.settimeout(timeout)
    assert (one.gettimeout(), one.timeout) == (timeout, timeout)
    assert one.getblocking() is (timeout != 0)


@pytest.mark.parametrize("flag", [True, False])
def test_setblocking_is_a_timeout(pair: Pair, flag: bool):  # noqa: FBT001 - what setblocking takes
    one, _ = pair
    one.setblocking(flag)
    assert (one.gettimeout(), one.getblocking()) == (None if flag else 0.0, flag)


@pytest.mark.parametrize("timeout", [-1, "soon", float("nan"), 1e20])
def test_bad_timeouts_are_refused(pair: Pair, timeout: Any):
    with pytest.raises((TypeError, ValueError, OverflowError)):
        pair[0].settimeout(timeout)


def test_new_object_waits_for_ever_unless_there_is_a_default(pair: Pair):
    one, _ = pair
    assert one.gettimeout() is None
    socket.setdefaulttimeout(5)
    try:
        with one.dup() as twin, type(one)() as fresh:
            assert (twin.gettimeout(), fresh.gettimeout()) == (None, 5)
    finally:
        socket.setdefaulttimeout(None)


def test_description_stays_nonblocking_whatever_is_set(ours: Pair):
    one, _ = ours
    for change in (
        lambda: one.settimeout(5),
        lambda: one.settimeout(None),
        lambda: one.setblocking(True),  # noqa: FBT003
        lambda: one.setblocking(False),  # noqa: FBT003
        lambda: one.settimeout(None),
        lambda: one.dup().close(),
        lambda: one.makefile("rb").close(),
    ):
        change()
        assert not os.get_blocking(one.fileno())


WRONG: list[Callable[[socket.socket], Any]] = [
    lambda sock: sock.recv(-1),
    lambda sock: sock.recv(-1, WAITALL),
    lambda sock: sock.recv(-1, DONTWAIT),
    lambda sock: sock.recv("5"),
    lambda sock: sock.recv_into(b"constant"),
    lambda sock: sock.recv_into(b"constant", 0, WAITALL),
    lambda sock: sock.recv_into(bytearray(2), 3),
    lambda sock: sock.recv_into(bytearray(2), 3, WAITALL),
    lambda sock: sock.recv_into(bytearray(2), -1, WAITALL),
    lambda sock: sock.recvfrom(-1),
    lambda sock: sock.recvfrom_into(bytearray(2), 3),
    lambda sock: sock.recvmsg(-1),
    lambda sock: sock.recvmsg_into([b"constant"]),
    lambda sock: sock.recvmsg_into(7),
    lambda sock: sock.send("text"),
    lambda sock: sock.send(b"x", "flags"),
    lambda sock: sock.sendall(7),
    lambda sock: sock.sendto(b"x"),
    lambda sock: sock.sendto(b"x", 0, "a", 2),
    lambda sock: sock.sendmsg([7]),
    lambda sock: sock.sendmsg(b"x"),
    lambda sock: sock.sendmsg(7),
    lambda sock: sock.connect(("127.0.0.1", 1)),
]


@pytest.mark.parametrize("call", WRONG)
def test_wrong_arguments_are_refused_as_by_a_plain_socket(call: Callable[[socket.socket], Any]):
    said = []
    for kind in (socket.socket, Nonblocking):
        one, other = pair_of(kind)
        with one, other, pytest.raises((TypeError, ValueError, OSError)) as caught:
            call(one)
        said.append(caught.type)
    assert said[0] is said[1]


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_messages_keep_their_borders(kind: socket.SocketKind):
    one, other = pair_of(Nonblocking, kind)
    with one, other:
        other.send(b"abc")
        other.send(b"def")
        assert one.recv(6, WAITALL) == b"abc"
        assert one.recv(2) == b"de"
        assert one.sendmsg([b"a", b"b"]) == 2
        assert other.recv(10) == b"ab"


def test_rights_travel(ours: Pair):
    one, other = ours
    with open(os.devnull) as null:  # noqa: PTH123
        socket.send_fds(one, [b"x"], [null.fileno()])
        _, (came,), _, _ = socket.recv_fds(other, 1, 1)
        os.close(came)
        socket.send_fds(other, [b"x"], [null.fileno()])
        _, (came,), _, _ = socket.recv_fds(one, 1, 1)
        os.close(came)


def test_closed_socket_says_so(pair: Pair):
    one, _ = pair
    one.close()
    assert one.fileno() == -1
    assert one.gettimeout() is None
    for call in (lambda: one.recv(1), lambda: one.recv(1, DONTWAIT), lambda: one.send(b"x")):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call()
