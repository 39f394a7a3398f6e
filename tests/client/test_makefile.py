"""Files of a held socket behave as those of a local one: each test is run on both."""

from __future__ import annotations

import errno
import gc
import io
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

import socketd_client
from socketd_client import Client
from socketd_client.functions import functions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


BOUND_S = 30.0


@pytest.fixture(params=["local", "held"])
def pair(client: Client, request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    make = socket.socketpair if request.param == "local" else lambda: socketd_client.socketpair(client=client)
    one, other = make()
    with one, other:
        one.settimeout(BOUND_S)
        other.settimeout(BOUND_S)
        yield one, other


def test_close_waits_for_the_files(pair: tuple[Any, Any]):
    one, other = pair
    reading, writing = one.makefile("rb"), one.makefile("wb")
    one.close()
    writing.write(b"still open")
    writing.close()
    assert other.recv(20) == b"still open"
    other.sendall(b"answer\n")
    assert reading.readline() == b"answer\n"
    assert one.fileno() != -1
    reading.close()
    reading.close()
    assert one.fileno() == -1
    assert other.recv(1) == b""


def test_file_that_is_closed_before_the_socket_closes_nothing(pair: tuple[Any, Any]):
    one, other = pair
    with one.makefile("rb") as reading:
        other.sendall(b"x")
        assert reading.read(1) == b"x"
    one.sendall(b"y")
    assert other.recv(1) == b"y"


def test_after_a_timeout_reads_are_refused(pair: tuple[Any, Any]):
    one, _ = pair
    one.settimeout(0.02)
    with one.makefile("rb") as reading:
        with pytest.raises(TimeoutError):
            reading.read(1)
        with pytest.raises(OSError, match="cannot read from timed out object"):
            reading.read(1)


@pytest.mark.parametrize("buffering", [0, 1, 10, -1])
def test_nonblocking_read_with_nothing_there_is_none(pair: tuple[Any, Any], buffering: int):
    one, other = pair
    one.settimeout(0)
    with one.makefile("rb", buffering) as reading:
        assert reading.read(3) is None
        other.sendall(b"ab")
        assert reading.read(2) == b"ab"


def test_nonblocking_send_may_be_partial_and_then_none(pair: tuple[Any, Any]):
    one, other = pair
    one.settimeout(0)
    block = bytes(1 << 20)
    with one.makefile("wb", 0) as writing:
        sent = writing.write(block)
        assert 0 < sent < len(block)
        while (more := writing.write(block)) is not None:
            sent += more
    received = 0
    while received < sent:
        received += len(other.recv(1 << 20))
    assert received == sent


@pytest.mark.parametrize(
    ("mode", "buffering", "kind"),
    [
        ("rb", 0, socket.SocketIO),
        ("rb", None, io.BufferedReader),
        ("wb", 1, io.BufferedWriter),
        ("rwb", 100, io.BufferedRWPair),
        ("r", None, io.TextIOWrapper),
        ("rw", 1, io.TextIOWrapper),
    ],
)
def test_kind_of_file(pair: tuple[Any, Any], mode: str, buffering: int | None, kind: type):
    with pair[0].makefile(mode, buffering) as file:
        assert isinstance(file, kind)


@pytest.mark.parametrize(("mode", "buffering"), [("x", None), ("a", None), ("r", 0)])
def test_impossible_files(pair: tuple[Any, Any], mode: str, buffering: int | None):
    with pytest.raises(ValueError, match=r"invalid mode|unbuffered"):
        pair[0].makefile(mode, buffering)


def test_text_both_ways(pair: tuple[Any, Any]):
    one, other = pair
    with (
        one.makefile("rw", encoding="utf-8", newline="\r\n") as left,
        other.makefile("rw", encoding="utf-8") as right,
    ):
        assert left.mode == "rw"
        left.write("grüße\n")
        left.flush()
        assert right.readline() == "grüße\n"
        right.write("zwei\r\nzeilen\r\n")
        right.flush()
        assert [left.readline(), left.readline()] == ["zwei\r\n", "zeilen\r\n"]


def test_end_of_file(pair: tuple[Any, Any]):
    one, other = pair
    other.sendall(b"one\ntwo\nrest")
    other.shutdown(socket.SHUT_WR)
    with one.makefile("rb") as reading:
        assert list(reading) == [b"one\n", b"two\n", b"rest"]
        assert reading.read() == b""


def test_closed_file(pair: tuple[Any, Any]):
    raw = pair[0].makefile("rwb", 0)
    assert (raw.readable(), raw.writable(), raw.seekable(), raw.mode) == (True, True, False, "rwb")
    assert raw.fileno() == raw.name == pair[0].fileno()
    raw.close()
    assert raw.name == -1
    with pytest.raises(ValueError, match="closed"):
        raw.read(1)
    with pytest.raises(ValueError, match="closed"):
        raw.readable()


def test_file_of_a_closed_socket_fails_when_read(pair: tuple[Any, Any]):
    pair[0].close()
    with pair[0].makefile("rb", 0) as reading, pytest.raises(OSError, match="Bad file descriptor") as caught:
        reading.read(1)
    assert caught.value.errno == errno.EBADF


def test_dropped_file_of_a_closed_held_socket_makes_no_request(client: Client):
    one, other = socketd_client.socketpair(client=client)
    reading = one.makefile("rb")
    one.close()
    del reading
    gc.collect()
    assert one.fileno() == -1
    assert other.recv(1) == b""  # the next call closed it
    other.close()


def test_sendfile_sends_from_offset_and_leaves_the_position_after_it(pair: tuple[Any, Any], tmp_path: Path):
    data = os.urandom(30_000)
    (tmp_path / "file").write_bytes(data)
    one, other = pair
    for offset, count in ((0, None), (100, 5000), (29_990, 20), (0, 1), (30_000, None)):
        wanted = data[offset:] if count is None else data[offset : offset + count]
        with (tmp_path / "file").open("rb") as file:
            assert one.sendfile(file, offset, count) == len(wanted)
            assert file.tell() == (offset + len(wanted) if wanted else 0)
        with other.makefile("rb") as reading:
            assert reading.read(len(wanted)) == wanted


def test_sendfile_of_what_is_no_file(pair: tuple[Any, Any]):
    one, other = pair
    assert one.sendfile(io.BytesIO(b"0123456789"), 3, 4) == 4
    assert other.recv(10) == b"3456"


@pytest.mark.parametrize("count", [0, -1, "1", 1.5])
def test_sendfile_with_a_bad_count(pair: tuple[Any, Any], count: Any):
    with pytest.raises(TypeError if isinstance(count, (str, float)) else ValueError, match="count must be"):
        pair[0].sendfile(io.BytesIO(b"x"), 0, count)


def test_sendfile_without_waiting_or_in_text_is_refused(pair: tuple[Any, Any], tmp_path: Path):
    one, _ = pair
    (tmp_path / "file").write_text("x")
    with (tmp_path / "file").open() as text, pytest.raises(ValueError, match="binary mode"):
        one.sendfile(text)
    one.settimeout(0)
    with (tmp_path / "file").open("rb") as file, pytest.raises(ValueError, match="non-blocking"):
        one.sendfile(file)


def test_sendfile_on_datagrams_is_refused(client: Client):
    for sock in (socket.socket(type=socket.SOCK_DGRAM), functions(client).socket(type=socket.SOCK_DGRAM)):
        with sock, pytest.raises(ValueError, match="SOCK_STREAM"):
            sock.sendfile(io.BytesIO(b"x"))
