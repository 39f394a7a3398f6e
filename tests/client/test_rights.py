"""Descriptors in the messages of handles: they go out, come in, and nothing of them stays behind."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from socketd_client import Client
from socketd_client.constants import FILENO_BASE
from tests.client.message_pairs import SPACE, held, held_pair, local_pair, received, rights
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.daemon_process import DaemonProcess


@pytest.fixture
def tcp(fresh_daemon: Callable[..., DaemonProcess]) -> Iterator[Client]:
    """Reach a daemon over TCP."""
    port = free_port()
    fresh_daemon("--tcp", f"127.0.0.1:{port}", "--token", "secret")
    with Client(f"http://127.0.0.1:{port}", token="secret") as client:
        yield client


@pytest.mark.parametrize("kind", ["stream", "dgram", "seqpacket"])
def test_local_sockets_go_through_and_come_out_as_descriptors(client: Client, kind):
    near, far = held_pair(client, kind)
    before = held(client)
    with local_pair() as (one, other):
        assert near.sendmsg([b"x"], rights(one.fileno(), other.fileno(), one.fileno())) == 1
        assert held(client) == before
    data, ancdata, flags, _ = far.recvmsg(9, SPACE)
    assert (data, flags) == (b"x", 0)
    first, second, third = received(ancdata)
    assert held(client) == before
    with socket.socket(fileno=first) as one, socket.socket(fileno=second) as other:
        assert os.get_blocking(first)
        assert not os.get_inheritable(first)
        one.send(b"through")
        assert other.recv(99) == b"through"
        assert third != first  # as the kernel gives them: each is closed for itself
        assert os.fstat(third).st_ino == os.fstat(first).st_ino
    os.close(third)


def test_descriptor_that_does_not_block_comes_as_one(client: Client):
    near, far = held_pair(client)
    with local_pair() as (one, _):
        one.settimeout(0)
        near.sendmsg([b"x"], rights(one.fileno()))
        (came,) = received(far.recvmsg(9, SPACE)[1])
    assert not os.get_blocking(came)
    os.close(came)


def test_held_sockets_go_by_their_own_number_and_stay_held(client: Client):
    near, far = held_pair(client)
    named = client.sockets.create(bind=("127.0.0.1", 0), listen=True, name="web")
    with named.take() as duplicate:
        near.sendmsg([b"x"], rights(named.fileno(), duplicate.fileno()))
    came = received(far.recvmsg(9, SPACE)[1])
    assert client.sockets.get("web").info().state == "listening"
    inodes = {os.fstat(each).st_ino for each in came}
    assert inodes == {named.info().inode}
    for each in set(came):
        os.close(each)


def test_what_is_no_socket_is_enotsock_and_nothing_is_sent(client: Client):
    near, far = held_pair(client)
    before = held(client)
    with (
        Path(os.devnull).open("rb") as file,
        socket.socket() as sock,
        pytest.raises(OSError, match="ENOTSOCK"),
    ):
        near.sendmsg([b"x"], rights(sock.fileno(), file.fileno()))
    assert held(client) == before
    far.settimeout(0)
    with pytest.raises(BlockingIOError):
        far.recvmsg(1)


def test_file_that_comes_is_closed_and_told(client: Client):
    near, far = held_pair(client)
    reader, writer = os.pipe()
    with near.take() as local:
        local.sendmsg([b"x"], rights(writer))
    os.close(writer)
    assert far.recvmsg(9, SPACE) == (b"x", [], socket.MSG_CTRUNC, None)
    assert os.read(reader, 1) == b""
    os.close(reader)


@pytest.mark.parametrize(("space", "count"), [(0, 0), (16, 0), (socket.CMSG_LEN(4), 1)])
def test_descriptors_that_do_not_fit_the_room_are_cut_as_locally(client: Client, space, count):
    seen = []
    with local_pair() as local, socket.socket() as one, socket.socket() as other:
        for near, far in (held_pair(client), local):
            near.sendmsg([b"x"], rights(one.fileno(), other.fileno()))
            _, ancdata, flags, _ = far.recvmsg(9, space)
            came = received(ancdata)
            seen.append((len(came), flags))
            for each in came:
                os.close(each)
    assert seen == [(count, socket.MSG_CTRUNC)] * 2
    assert len(held(client)) == 2


def test_full_process_is_told_as_cut_and_nothing_is_left_in_the_daemon(client: Client):
    near, far = held_pair(client)
    with socket.socket() as sock:
        near.sendmsg([b"x"], rights(sock.fileno()))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
    filler = [os.open(os.devnull, os.O_RDONLY)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, hard))
        with contextlib.suppress(OSError):
            while True:
                filler.append(os.dup(filler[0]))
        assert far.recvmsg(9, SPACE) == (b"x", [], socket.MSG_CTRUNC, None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in filler:
            os.close(each)
    assert len(held(client)) == 2


def test_over_tcp_held_sockets_travel_by_their_numbers(tcp: Client):
    near, far = held_pair(tcp)
    named = tcp.sockets.create(name="web")
    near.sendmsg([b"x"], rights(named.fileno()))
    assert received(far.recvmsg(9, SPACE)[1]) == [FILENO_BASE + named.fd]
    with socket.socket() as local, pytest.raises(OSError, match="TCP"):
        near.sendmsg([b"x"], rights(local.fileno()))


def test_peeked_message_comes_again(client: Client):
    near, far = held_pair(client)
    with socket.socket() as sock:
        near.sendmsg([b"x"], rights(sock.fileno()))
        inode = os.fstat(sock.fileno()).st_ino
    for flags in (socket.MSG_PEEK, 0):
        (came,) = received(far.recvmsg(9, SPACE, flags)[1])
        assert os.fstat(came).st_ino == inode
        os.close(came)
    assert len(held(client)) == 2


def test_standard_library_sends_and_receives_descriptors(client: Client):
    near, far = held_pair(client)
    with socket.socket() as sock:
        assert socket.send_fds(near, [b"x"], [sock.fileno()]) == 1  # type: ignore[arg-type]
    data, descriptors, flags, address = socket.recv_fds(far, 9, 4)  # type: ignore[arg-type]
    assert (data, len(descriptors), flags, address) == (b"x", 1, 0, None)
    os.close(descriptors[0])
