"""Bytes through a socket that never makes its description blocking: each call ends as a plain one's."""

from __future__ import annotations

import array
import contextlib
import os
import select
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client.nonblocking import Nonblocking
from tests.client.nonblocking_pairs import DONTWAIT, LARGE, WAIT_S, WAITALL, Pair, ours, pair

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ours", "pair"]  # fixtures


def in_background(call: Callable[..., Any], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=call, args=arguments)
    thread.start()
    return thread


READS: list[Callable[[socket.socket], Any]] = [
    lambda sock: sock.recv(5),
    lambda sock: sock.recvfrom(5)[0],
    lambda sock: sock.recvmsg(5)[0],
    lambda sock: _into(sock.recv_into),
    lambda sock: _into(lambda room: sock.recvfrom_into(room)[0]),
    lambda sock: _into(lambda room: sock.recvmsg_into([room])[0]),
    lambda sock: sock.makefile("rb").read(5),
]


def _into(call: Callable[[bytearray], int]) -> bytes:
    room = bytearray(5)
    return bytes(room[: call(room)])


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("timeout", [None, WAIT_S])
def test_reads_wait(pair: Pair, read: Callable[[socket.socket], Any], timeout: float | None):
    one, other = pair
    one.settimeout(timeout)
    timer = threading.Timer(0.02, other.sendall, [b"hello"])
    timer.start()
    assert read(one) == b"hello"
    timer.join(WAIT_S)


@pytest.mark.parametrize("read", READS[:-1])
def test_reads_end_with_their_timeout(pair: Pair, read: Callable[[socket.socket], Any]):
    one, _ = pair
    for timeout, error in ((0.01, TimeoutError), (0, BlockingIOError)):
        one.settimeout(timeout)
        with pytest.raises(error):
            read(one)


EAGER_READS: list[Callable[[socket.socket], Any]] = [
    lambda sock: sock.recv(5, DONTWAIT),
    lambda sock: sock.recvfrom(5, DONTWAIT)[0],
    lambda sock: sock.recvmsg(5, 0, DONTWAIT)[0],
    lambda sock: _into(lambda room: sock.recv_into(room, 0, DONTWAIT)),
    lambda sock: _into(lambda room: sock.recvfrom_into(room, 0, DONTWAIT)[0]),
    lambda sock: _into(lambda room: sock.recvmsg_into([room], 0, DONTWAIT)[0]),
    lambda sock: sock.recv(5, DONTWAIT | socket.MSG_PEEK),
]


@pytest.mark.parametrize("read", EAGER_READS)
def test_dontwait_reads_what_is_there_and_does_not_wait(pair: Pair, read: Callable[[socket.socket], Any]):
    one, other = pair
    with pytest.raises(BlockingIOError):
        read(one)
    other.send(b"hi")
    assert read(one) == b"hi"
    assert one.gettimeout() is None
    other.close()


def full(sock: socket.socket) -> None:
    """Fill the way out of a socket."""
    for _ in range(10_000):
        try:
            sock.send(bytes(65536), DONTWAIT)
        except BlockingIOError:
            return
    raise AssertionError("it takes everything")


EAGER_WRITES: list[Callable[[socket.socket], Any]] = [
    lambda sock: sock.send(b"x", DONTWAIT),
    lambda sock: sock.sendall(b"x", DONTWAIT),
    lambda sock: sock.sendmsg([b"x"], [], DONTWAIT),
]


@pytest.mark.parametrize("write", EAGER_WRITES)
def test_dontwait_writes_do_not_wait(pair: Pair, write: Callable[[socket.socket], Any]):
    one, _ = pair
    full(one)
    with pytest.raises(BlockingIOError):
        write(one)


@pytest.mark.parametrize("kind", [socket.socket, Nonblocking])
def test_dontwait_to_an_address_does_not_wait(kind: type[socket.socket], tmp_path: Any):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as target:
        target.bind(path)
        with kind(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            with contextlib.suppress(BlockingIOError):
                for _ in range(100_000):
                    sock.sendto(b"x", DONTWAIT, path)
            with pytest.raises(BlockingIOError):
                sock.sendto(b"x", DONTWAIT, path)
            target.recv(1)
            assert sock.sendto(b"x", DONTWAIT, path) == 1
            target.recv(1)
            assert sock.sendto(b"x", path) == 1


def test_waitall_waits_for_all_or_the_end(pair: Pair):
    one, other = pair
    for read in (
        lambda: one.recv(6, WAITALL),
        lambda: _six(lambda room: one.recv_into(room, 0, WAITALL)),
        lambda: _six(lambda room: one.recv_into(memoryview(room).cast("B"), 6, WAITALL)),
    ):
        other.send(b"abc")
        timer = threading.Timer(0.02, other.send, [b"def"])
        timer.start()
        assert read() == b"abcdef"
        timer.join(WAIT_S)
    other.send(b"rest")
    other.close()
    assert one.recv(6, WAITALL) == b"rest"
    assert one.recv(6, WAITALL) == b""


def _six(call: Callable[[array.array[int]], int]) -> bytes:
    room = array.array("H", bytes(6))
    size = call(room)
    return room.tobytes()[:size]


def test_waitall_leaves_what_is_beyond(pair: Pair):
    one, other = pair
    other.send(b"abcdef")
    assert one.recv(4, WAITALL) == b"abcd"
    assert one.recv(4) == b"ef"


SENDS: list[Callable[[socket.socket, Any], Any]] = [
    lambda sock, data: sock.send(data),
    lambda sock, data: sock.sendmsg([data[:1000], b"", data[1000:]]),
    lambda sock, data: sock.sendmsg(data[at : at + (1 << 20)] for at in range(0, LARGE, 1 << 20)),
    lambda sock, data: sock.sendall(data) or LARGE,
    lambda sock, data: sock.send(array.array("Q", data)),
]


@pytest.mark.parametrize("send", SENDS)
def test_stream_takes_all_that_is_sent_without_a_timeout(
    pair: Pair, send: Callable[[socket.socket, Any], Any]
):
    one, other = pair
    data = os.urandom(1 << 16) * (LARGE >> 16)
    came = bytearray()

    def read() -> None:
        while len(came) < LARGE:
            came.extend(other.recv(1 << 20))

    reader = in_background(read)
    assert send(one, data) == LARGE
    reader.join(WAIT_S)
    assert came == data


def test_send_with_a_timeout_may_be_partial(pair: Pair):
    one, other = pair
    for timeout in (0, 1):
        one.settimeout(timeout)
        assert 0 < one.send(bytes(LARGE)) < LARGE
        one.settimeout(timeout and 0.01)
        with pytest.raises((TimeoutError, BlockingIOError)):
            one.sendall(bytes(LARGE))
        _drain(other)


def _drain(sock: socket.socket) -> None:
    while select.select([sock], [], [], 0)[0]:
        sock.recv(1 << 20)


def test_peer_that_leaves_in_the_middle_of_a_send_is_told_by_the_next(pair: Pair):
    one, other = pair

    def leave() -> None:
        other.recv(100)
        other.close()

    thread = in_background(leave)
    # It says so at once when it left before the first wait.
    with contextlib.suppress(BrokenPipeError):
        assert one.send(bytes(LARGE)) < LARGE
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        one.send(b"x")
    thread.join(WAIT_S)


def test_description_that_somebody_else_makes_blocking_does_not_block(ours: Pair):
    one, other = ours
    for timeout, error in ((0, BlockingIOError), (0.01, TimeoutError)):
        one.settimeout(timeout)
        os.set_blocking(one.fileno(), True)
        for call in (*READS[:-1], lambda sock: sock.sendall(bytes(LARGE))):
            with pytest.raises(error):
                call(one)
        _drain(other)
        assert 0 < one.send(bytes(LARGE)) < LARGE
        assert os.get_blocking(one.fileno())
        _drain(other)
