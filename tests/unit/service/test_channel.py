"""Steps over a connection that wait a bounded time, and what a peer can do wrong meanwhile."""

from __future__ import annotations

import array
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from socketd.errors import ClientGoneError, ClosedMeanwhileError, InvalidRequestError, PeerStalledError
from socketd.kernel import scm
from socketd.service.channel import Channel
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from tests.held import Held

SOON_S = 0.05


def open_descriptors():
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


@pytest.fixture
def ends():
    near, far = socket.socketpair()
    with near, far:
        yield near, far


@pytest.fixture
def channel(ends):
    return Channel(ends[0].fileno(), PollWaiter(ends[0].fileno()), SOON_S)


def pass_descriptors(sock, data, *descriptors):
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])


def test_peer_that_says_nothing_is_stalled(channel):
    with pytest.raises(PeerStalledError):
        channel.receive(1)


def test_peer_that_never_reads_is_stalled(channel):
    with pytest.raises(PeerStalledError):
        channel.send(bytes(10_000_000))


def test_peer_that_has_not_read_is_stalled(channel):
    channel.send(b"x")
    with pytest.raises(PeerStalledError):
        channel.await_read()


def test_peer_that_goes_without_reading_is_gone(ends, channel):
    channel.send(b"x")
    ends[1].close()
    with pytest.raises(ClientGoneError):
        channel.await_read()


def test_peer_that_goes_half_way_is_gone(ends, channel):
    ends[1].sendall(b"half")
    ends[1].close()
    with pytest.raises(ClientGoneError):
        channel.receive(8)


@pytest.mark.parametrize(("data", "count"), [(b"\2", 1), (b"\1", 2), (b"\0", 0), (b"\5", 0), (b"\0", 1)])
def test_other_descriptors_than_announced_are_closed(ends, channel, data, count):
    before = open_descriptors()
    if count:
        pass_descriptors(ends[1], data, *[0] * count)
    else:
        ends[1].sendall(data)
    with pytest.raises(InvalidRequestError):
        channel.receive_batch()
    assert open_descriptors() == before


def test_descriptors_with_plain_bytes_are_closed_and_refused(ends, channel):
    before = open_descriptors()
    pass_descriptors(ends[1], b"data", 0, 0)
    with pytest.raises(InvalidRequestError):
        channel.receive(4)
    assert open_descriptors() == before


def test_closed_entry_is_not_lent(held: Held, ends, channel):
    entry = held.tcp()
    held.table.close(entry)
    with pytest.raises(ClosedMeanwhileError):
        channel.lend(b"x", held.table, [entry])
    with pytest.raises(BlockingIOError):
        ends[1].recv(1, socket.MSG_DONTWAIT)


def test_bytes_arrive_in_pieces(ends, channel):
    ends[1].sendall(b"abc")
    ends[1].sendall(b"def")
    assert channel.receive(6) == b"abcdef"


def test_batch_is_what_was_announced(ends, channel):
    pass_descriptors(ends[1], b"\2", 0, 0)
    batch = channel.receive_batch()
    scm.close(batch)
    assert len(batch) == 2


def test_reader_in_another_thread_is_waited_for(ends, threads):
    channel = Channel(ends[0].fileno(), PollWaiter(ends[0].fileno()))
    data = bytes(3_000_000)

    def read_all() -> int:
        got = 0
        while got < len(data):
            got += len(ends[1].recv(65536))
        return got

    reading = threads.submit(read_all)
    channel.send(data)
    channel.await_read()
    assert reading.result(10) == len(data)


def test_ended_connection_can_still_be_read_by_the_peer(ends, channel):
    channel.send(b"last words")
    channel.end()
    assert ends[1].recv(100) == b"last words"
    assert ends[1].recv(100) == b""
