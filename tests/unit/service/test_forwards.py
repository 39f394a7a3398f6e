"""Forwards: what they join, what they refuse to, and what goes through them."""

from __future__ import annotations

import os
import select
import socket
from typing import TYPE_CHECKING, Any

import pytest

from socketd.core.waiting import until_done
from socketd.errors import (
    BusyError,
    InvalidRequestError,
    KernelRefusedError,
    StaleError,
    TooManyForwardsError,
    UnknownSocketError,
)
from tests.held import ANN, Held
from tests.joined import PATIENCE_S, Ends, read
from tests.system.place import await_true

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ThreadPoolExecutor

    from socketd.core.entry import Entry
    from socketd.service.forwarding import Forward

MESSAGE = b"across"


@pytest.fixture
def ends(held: Held) -> Iterator[Ends]:
    made = Ends(held)
    yield made
    made.close()


def join(held: Held, first: Entry, second: Entry, **more: Any) -> Forward:
    return held.service.forwards.create(held.call(**more), first.reference, second.reference, "keep")


# What cannot be joined.


def test_a_socket_that_is_not_connected_is_enotconn(held: Held):
    connected, _ = held.pair()
    for other in (held.tcp(), held.listener()):
        with pytest.raises(KernelRefusedError) as caught:
            join(held, connected, other)
        assert (caught.value.symbol, caught.value.subject) == ("ENOTCONN", other.reference)
        assert connected.flow is None
        assert not connected.forwarded


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_a_socket_of_messages_is_eopnotsupp(held: Held, kind: int):
    messages, _ = held.pair(kind)
    stream, _ = held.pair()
    with pytest.raises(InvalidRequestError) as caught:
        join(held, stream, messages)
    assert (caught.value.symbol, caught.value.member) == ("EOPNOTSUPP", "sockets")


def test_a_socket_is_not_joined_with_itself(held: Held):
    left, _ = held.pair()
    with pytest.raises(InvalidRequestError):
        join(held, left, left)


def test_a_socket_that_is_part_of_a_forward_is_busy(held: Held, ends: Ends):
    ends.join()
    other, _ = held.pair()
    for pair in ((other, ends.first), (ends.second, other)):
        with pytest.raises(BusyError):
            join(held, *pair)
    assert other.flow is None


def test_somebody_elses_socket_is_unknown(held: Held):
    left, right = held.pair()
    with pytest.raises(UnknownSocketError):
        join(held, left, right, uid=ANN)


def test_if_match_names_both(ends: Ends):
    with pytest.raises(StaleError):
        ends.join(expected=frozenset({ends.first.cookie}))
    forward = ends.join(expected=frozenset({ends.first.cookie, ends.second.cookie}))
    assert forward.state == "running"


def test_there_are_only_so_many(held: Held, ends: Ends):
    held.service.limits.descriptors = 15
    forward = ends.join()
    with pytest.raises(TooManyForwardsError) as caught:
        join(held, *held.pair())
    assert caught.value.symbol == "EMFILE"
    held.service.forwards.stop(held.call(), forward.id)
    assert join(held, *held.pair()).state == "running"


def test_a_socket_that_persists_is_not_closed_at_the_end(ends: Ends):
    ends.first.persist = "boot"
    with pytest.raises(InvalidRequestError) as caught:
        ends.join("close")
    assert caught.value.member == "on_end"
    assert ends.join().state == "running"


# What moves.


def test_bytes_go_both_ways_and_are_counted(ends: Ends):
    forward = ends.join()
    ends.left.sendall(MESSAGE)
    assert read(ends.right, len(MESSAGE)) == MESSAGE
    ends.right.sendall(b"back")
    assert read(ends.left, 4) == b"back"
    ends.left.close()
    ends.right.close()
    ended = ends.ended(forward)
    assert (ended.moved, ended.undelivered) == ((len(MESSAGE), 4), (0, 0))
    assert ended.ending is not None
    assert ended.ending.error is None


def test_each_end_of_file_is_passed_on_by_itself(ends: Ends):
    forward = ends.join()
    ends.left.shutdown(socket.SHUT_WR)
    assert ends.right.recv(1) == b""
    ends.right.sendall(MESSAGE)
    assert read(ends.left, len(MESSAGE)) == MESSAGE
    assert forward.flow is not None
    ends.right.shutdown(socket.SHUT_WR)
    assert ends.left.recv(1) == b""
    ended = ends.ended(forward)
    assert ended.ending is not None
    assert ended.ending.is_whole


def test_what_lies_in_the_kernel_before_goes_first(ends: Ends):
    ends.left.sendall(b"before")
    ends.join()
    ends.left.sendall(b" after")
    assert read(ends.right, 12) == b"before after"


def test_megabytes_arrive_as_they_were_sent(ends: Ends, threads: ThreadPoolExecutor):
    data = os.urandom(8 << 20)
    ends.join()
    sending = threads.submit(ends.left.sendall, data)
    assert read(ends.right, len(data)) == data
    sending.result(PATIENCE_S)


def test_tcp_connections_are_joined_with_unix_ones(held: Held, ends: Ends):
    near, far = held.connection()
    forward = join(held, far, ends.second)
    near.sock.sendall(MESSAGE)
    assert read(ends.right, len(MESSAGE)) == MESSAGE
    await_true(lambda: forward.moved == (len(MESSAGE), 0), lambda: str(forward.moved))


def test_nobody_else_reads_or_writes_meanwhile(held: Held, ends: Ends):
    ends.join()
    for entry in (ends.first, ends.second):
        for timeout_s in (0, PATIENCE_S):
            with pytest.raises(BusyError):
                until_done(entry, select.POLLIN, "recv", held.patience(timeout_s), lambda: b"taken")
