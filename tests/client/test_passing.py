"""Take and give with the client and a real daemon: what is refused first, then what passes."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from socketd_client import ApiError, Client, Socket

LOOPBACK = ("127.0.0.1", 0)
SO_COOKIE = 57


@pytest.fixture
def listener(client: Client) -> Socket:
    return client.sockets.create(bind=LOOPBACK, listen=True, name="web")


def cookie(sock: socket.socket) -> int:
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), sys.byteorder)


def test_descriptor_that_is_not_open_here_is_ebadf(client: Client, listener: Socket):
    for fd in (listener.fileno(), -1):
        with pytest.raises(OSError, match="Bad file"):
            client.give(fd)


def test_names_and_sockets_have_to_match(client: Client):
    with socket.socket() as mine:
        for bad in ({"names": ["a", "b"]}, {"name": "a", "names": ["a"]}):
            with pytest.raises(ValueError, match="names"):
                client.give(mine, **bad)
        with pytest.raises(ValueError, match="names"):
            client.give(mine, mine, names=["a"])


@pytest.mark.parametrize(
    "made",
    [
        os.pipe,
        lambda: (os.open("/dev/null", os.O_RDONLY),),
        lambda: (os.memfd_create("x"),),
        lambda: (os.pidfd_open(os.getpid()),),
        lambda: (os.eventfd(0),),
    ],
    ids=["pipe", "file", "memfd", "pidfd", "eventfd"],
)
def test_what_is_no_socket_is_enotsock_and_nothing_is_held(client: Client, made):
    descriptors = made()
    try:
        with socket.socket() as mine, pytest.raises(OSError, match="non-socket") as caught:
            client.give(mine, descriptors[0])
        assert caught.value.errno == errno.ENOTSOCK
        assert isinstance(caught.value, ApiError)
        assert caught.value.problem.index == 1
    finally:
        for fd in descriptors:
            os.close(fd)
    assert list(client.sockets.list()) == []


def test_stale_handle_takes_nothing(listener: Socket):
    listener.snapshot = type(listener.snapshot)(
        **{**{name: getattr(listener.snapshot, name) for name in listener.snapshot.__slots__}, "cookie": 1}
    )
    with pytest.raises(ApiError, match="ESTALE"):
        listener.take()


def limit_with_room_for(count: int) -> int:
    """The limit below which exactly ``count`` numbers are free; a runner may have left us high ones."""
    taken = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    free = (number for number in itertools.count() if number not in taken)
    return next(itertools.islice(free, count - 1, None)) + 1


def test_full_table_here_is_emfile_and_a_release_is_not_even_asked_for(client: Client, listener: Socket):
    many = client.sockets.create_many(40)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit_with_room_for(20), hard))
    try:
        refs = [sock.fd for sock in many]
        for release in (True, False):
            with pytest.raises(OSError, match="Too many open files") as caught:
                client.take(*refs, release=release)
            assert caught.value.errno == errno.EMFILE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(list(client.sockets.list())) == 41
    assert listener.info().state == "listening"  # the connection is still good


def test_taken_socket_is_the_held_one_and_shares_its_connections(listener: Socket):
    with listener.take() as mine:
        assert cookie(mine) == listener.cookie
        assert not os.get_inheritable(mine.fileno())
        assert mine.gettimeout() == 0
        assert not os.get_blocking(mine.fileno())
        mine.settimeout(20)
        with socket.create_connection(mine.getsockname()):
            connection, _ = mine.accept()
            connection.close()
    assert (listener.snapshot.taken, listener.snapshot.taken_by.pid) == (1, os.getpid())


def test_taken_blocking_it_blocks_here_and_is_busy_there(listener: Socket):
    with listener.take(blocking=True) as mine:
        assert mine.gettimeout() is None
        assert os.get_blocking(mine.fileno())
        with pytest.raises(OSError, match="EBUSY"):
            listener.accept()
    listener.take().close()
    listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_released_socket_is_gone_there_and_lives_here(client: Client, listener: Socket):
    with listener.release() as mine:
        with pytest.raises(OSError, match="Bad file"):
            listener.info()
        with pytest.raises(OSError, match="EBADF"):
            client.sockets.get("web")
        mine.settimeout(20)
        with socket.create_connection(mine.getsockname()):
            mine.accept()[0].close()


def test_six_hundred_go_and_come_back(client: Client):
    made = client.sockets.create_many(600, name="m")
    taken = client.take(*[sock.name for sock in made], release=True)
    try:
        assert [cookie(sock) for sock in taken] == [sock.cookie for sock in made]
        assert list(client.sockets.list()) == []
        held = client.give(*taken, names=[f"n.{index}" for index in range(600)])
        assert [sock.cookie for sock in held] == [sock.cookie for sock in made]
        assert held[599].name == "n.599"
    finally:
        for sock in taken:
            sock.close()


def test_take_of_nothing_asks_nobody(client: Client):
    assert client.take() == []


def test_given_socket_is_served_by_the_daemon(client: Client):
    with socket.create_server(LOOPBACK) as mine:
        held = client.give(mine, name="mine")
    held.settimeout(20)
    with socket.create_connection(held.getsockname()) as peer:
        connection, _ = held.accept()
        peer.sendall(b"hello")
        assert connection.recv(10) == b"hello"


def test_duplicate_is_eexist_or_the_held_one(client: Client, listener: Socket):
    with listener.take() as mine:
        with pytest.raises(FileExistsError):
            client.give(mine)
        assert client.give(mine, existing_ok=True).fd == listener.fd
    with socket.socket() as other, pytest.raises(FileExistsError):
        client.give(other, name="web")


def test_several_threads_take_over_one_client(client: Client):
    socks = client.sockets.create_many(8)

    def take(sock: Socket) -> bool:
        for _ in range(10):
            with sock.take() as mine:
                if cookie(mine) != sock.cookie:
                    return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(take, socks))


def test_give_from_another_process(client: Client):
    program = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.fileno(), flush=True); input()"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        fd = int(child.stdout.readline())
        try:
            held = client.give_from(child.pid, fd, name="stolen")
        except PermissionError as error:  # not root, or no CAP_SYS_PTRACE here
            assert error.errno == errno.EPERM  # noqa: PT017
        else:
            assert held.info().state == "listening"
        with pytest.raises(OSError, match=r"EBADF|EPERM"):
            client.give_from(child.pid, 4000)
        child.stdin.close()
