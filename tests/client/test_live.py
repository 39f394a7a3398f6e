"""The client against a real daemon: a socket's whole life, and the manners of a local socket."""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import ApiError, Client, Socket

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.daemon_process import DaemonProcess

BOUND_S = 30.0
LOOPBACK = ("127.0.0.1", 0)


@pytest.fixture
def listener(client: Client) -> Socket:
    return client.sockets.create(bind=LOOPBACK, listen=True)


@pytest.fixture
def pair(client: Client) -> tuple[Socket, Socket]:
    return client.sockets.pair()


def taken_port() -> socket.socket:
    sock = socket.socket()
    sock.bind(LOOPBACK)
    sock.listen()
    return sock


def test_refused_connection(client: Client):
    with socket.socket() as closed:
        closed.bind(LOOPBACK)
        sock = client.sockets.create()
        with pytest.raises(ConnectionRefusedError) as caught:
            sock.connect(closed.getsockname())
    assert isinstance(caught.value, ApiError)
    assert caught.value.syscall == "connect"


def test_taken_port_is_eaddrinuse(client: Client):
    with taken_port() as local:
        with pytest.raises(OSError, match="EADDRINUSE") as caught:
            client.sockets.create(bind=local.getsockname())
        assert caught.value.errno == errno.EADDRINUSE


def test_bulk_with_a_taken_port_leaves_nothing(client: Client):
    with taken_port() as local, pytest.raises(OSError, match="EADDRINUSE"):
        client.sockets.create_many(3, bind=local.getsockname())
    assert list(client.sockets.list()) == []


def test_unknown_host_is_gaierror(client: Client):
    with pytest.raises(socket.gaierror):
        client.sockets.create().connect(("no-such-host.invalid", 80))


@pytest.mark.parametrize(
    ("method", "arguments", "number"),
    [
        ("recv", (1,), errno.ENOTCONN),
        ("send", (b"x",), errno.EPIPE),
        ("getpeername", (), errno.ENOTCONN),
        ("shutdown", (socket.SHUT_RDWR,), errno.ENOTCONN),
        ("accept", (), errno.EINVAL),
        ("getsockopt", (1, 9999), errno.ENOPROTOOPT),
        ("setsockopt", (1, 9999, 1), errno.ENOPROTOOPT),
        ("bind", (("192.0.2.1", 0),), errno.EADDRNOTAVAIL),
    ],
)
def test_errno_is_the_one_a_local_socket_gives(
    client: Client, method: str, arguments: tuple[Any, ...], number: int
):
    with socket.socket() as local, pytest.raises(OSError, match=r".") as by_kernel:
        getattr(local, method)(*arguments)
    assert by_kernel.value.errno == number
    sock = client.sockets.create()
    sock.settimeout(BOUND_S)
    with pytest.raises(type(by_kernel.value)) as caught:
        getattr(sock, method)(*arguments)
    assert caught.value.errno == number


def test_socket_closed_through_another_handle_is_ebadf(client: Client):
    sock = client.sockets.create(name="twice")
    client.sockets.get("twice").close()
    with pytest.raises(OSError, match="EBADF") as caught:
        sock.close()
    assert caught.value.errno == errno.EBADF


def test_name_that_exists_otherwise_is_file_exists(client: Client):
    first = client.sockets.ensure("web", bind=LOOPBACK, type="stream")
    assert client.sockets.ensure("web", bind=LOOPBACK, type="stream").fd == first.fd
    with pytest.raises(FileExistsError):
        client.sockets.ensure("web", type=socket.SOCK_DGRAM)


@pytest.mark.parametrize("timeout", [0, 0.001, 0.05])
@pytest.mark.parametrize("call", ["accept", "recv", "recvfrom"])
def test_nothing_there_is_told_as_by_a_local_socket(
    listener: Socket, pair: tuple[Socket, Socket], call: str, timeout: float
):
    sock, arguments = (listener, ()) if call == "accept" else (pair[0], (1,))
    sock.settimeout(timeout)
    with pytest.raises(TimeoutError if timeout else BlockingIOError):
        getattr(sock, call)(*arguments)


def test_connect_in_too_little_time_is_a_timeout_error(client: Client, daemon: DaemonProcess):
    with socket.socket() as local:
        local.bind(LOOPBACK)
        local.listen(0)
        crowd = [socket.socket() for _ in range(4)]
        try:
            for one in crowd:
                one.setblocking(False)  # noqa: FBT003 - the socket module's signature
                one.connect_ex(local.getsockname())
            sock = client.sockets.create()
            sock.settimeout(0.001)
            with pytest.raises(TimeoutError):
                sock.connect(local.getsockname())
            assert sock.connect_ex(local.getsockname()) == errno.EALREADY
        finally:
            for one in crowd:
                one.close()
    assert daemon.process.poll() is None


def test_nonblocking_connect_is_einprogress(client: Client):
    with taken_port() as local:
        sock = client.sockets.create(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        assert sock.connect_ex(local.getsockname()) in (0, errno.EINPROGRESS)
        assert client.poll([(sock, select.POLLOUT)], BOUND_S) == [(sock, select.POLLOUT)]
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_whole_life_with_a_local_peer(client: Client, listener: Socket):
    with socket.create_connection(listener.getsockname(), timeout=BOUND_S) as peer:
        connection, address = listener.accept()
        assert address == peer.getsockname()
        assert (connection.getpeername(), connection.getsockname()) == (
            peer.getsockname(),
            peer.getpeername(),
        )
        peer.sendall(b"question")
        assert connection.recv(3) == b"que"
        buffer = bytearray(10)
        assert connection.recv_into(buffer) == 5
        assert buffer[:5] == b"stion"
        connection.sendall(b"answer")
        connection.shutdown(socket.SHUT_WR)
        assert peer.makefile("rb").read() == b"answer"
        peer.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
        connection.close()
    listener.close()
    assert list(client.sockets.list()) == []


def test_client_side_connects(client: Client):
    with taken_port() as local:
        sock = client.sockets.create(connect=local.getsockname())
        with local.accept()[0] as peer:
            assert sock.getpeername() == local.getsockname()
            peer.sendall(b"x")
            assert sock.recv(10, socket.MSG_PEEK) == b"x"
            assert sock.recv(10) == b"x"
            assert (sock.family, sock.type, sock.proto) == (
                socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
            )


def test_descriptor_is_where_the_handle_says(client: Client, listener: Socket, daemon: DaemonProcess):
    assert listener.pid == daemon.pid
    assert os.readlink(f"/proc/{listener.pid}/fd/{listener.fd}") == f"socket:[{listener.snapshot.inode}]"  # noqa: PTH115
    assert client.process.descriptor(listener.fd).ino == listener.snapshot.inode
    held = {one.fd: one.socket for one in client.process.descriptors() if one.socket is not None}
    assert held[listener.fd].state == "listening"
    assert str(listener.fd) in client.process.tree()
    assert client.process.info().pid == daemon.pid


def test_more_than_a_request_may_carry_arrives_whole(client: Client, listener: Socket):
    limits = client.info().limits
    assert limits.body_bytes is not None
    data = os.urandom(1 << 20) * (limits.body_bytes // (1 << 20) + 1)
    with (
        socket.create_connection(listener.getsockname(), timeout=BOUND_S) as peer,
        ThreadPoolExecutor(1) as pool,
    ):
        connection, _ = listener.accept()
        sending = pool.submit(connection.sendall, data)
        received = bytearray()
        while len(received) < len(data):
            received += peer.recv(1 << 20)
        sending.result(BOUND_S)
    assert received == data


def test_sendall_to_a_peer_that_does_not_read_times_out(pair: tuple[Socket, Socket]):
    pair[0].settimeout(0.2)
    with pytest.raises(TimeoutError):
        pair[0].sendall(b"x" * 4_000_000)


def test_send_to_a_peer_that_has_gone_is_a_broken_pipe(pair: tuple[Socket, Socket]):
    pair[1].close()
    with pytest.raises(BrokenPipeError):
        pair[0].sendall(b"x")


@pytest.mark.parametrize(
    ("family", "address"), [("inet", LOOPBACK), ("inet6", ("::1", 0)), ("unix", b""), ("unix", "path")]
)
def test_datagrams_keep_their_bounds_and_tell_their_sender(
    client: Client, tmp_path: Path, family: str, address: Any
):
    named = str(tmp_path / "s") if address == "path" else address
    one = client.sockets.create(family=family, type="dgram")
    other = client.sockets.create(family=family, type="dgram")
    one.bind(named)
    other.bind(str(tmp_path / "o") if address == "path" else address)
    for message in (b"first", b"", b"third"):
        assert other.sendto(message, one.getsockname()) == len(message)
    assert [one.recvfrom(10) for _ in range(3)] == [
        (data, other.getsockname()) for data in (b"first", b"", b"third")
    ]
    other.connect(one.getsockname())
    other.send(b"long message")
    assert one.recv(4) == b"long"
    one.settimeout(0)
    with pytest.raises(BlockingIOError):
        one.recv(4)


def test_message_from_a_socket_without_a_name_has_no_address(client: Client, tmp_path: Path):
    path = str(tmp_path / "s")
    one = client.sockets.create(family="unix", type="dgram", bind=path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
        local.sendto(b"x", path)
    assert one.recvfrom(5)[0] == b"x"


def test_addresses_are_those_a_local_socket_has(client: Client, tmp_path: Path):
    for family, address in [
        (socket.AF_UNIX, str(tmp_path / "größe")),
        (socket.AF_UNIX, b"\0socketd-live-\xff"),
        (socket.AF_INET, ("", 0)),
        (socket.AF_INET6, ("::1", 0, 0, 0)),
        (socket.AF_NETLINK, (0, 0)),
    ]:
        sock = client.sockets.create(family=family, type=socket.SOCK_DGRAM)
        with socket.socket(family, socket.SOCK_DGRAM) as local:
            assert sock.getsockname() == local.getsockname()
        sock.bind(address)
        name: Any = sock.getsockname()
        if family == socket.AF_UNIX:
            assert name == address
        else:
            assert type(name) is tuple
            assert len(name) == len(address)


def test_options_by_number_and_by_name(client: Client):
    sock = client.sockets.create(options={"SO_REUSEADDR": True})
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    assert sock.option("SO_KEEPALIVE").value is True
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\5\0\0\0")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == b"\1\0\0\0\5\0\0\0"
    assert sock.set_option("TCP_NODELAY", value=True).value is True
    assert {one.name for one in sock.options()} >= {"SO_REUSEADDR", "TCP_NODELAY"}


def test_wait_ends_when_the_socket_is_closed_elsewhere(client: Client, listener: Socket):
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(listener.accept)
        client.sockets.get(listener.fd).close()
        with pytest.raises(OSError, match="EBADF") as caught:
            waiting.result(BOUND_S)
    assert caught.value.errno == errno.EBADF


def test_alarm_breaks_out_of_a_wait_and_nothing_is_taken_for_it(pair: tuple[Socket, Socket]):
    def alarm(_number: int, _frame: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise TimeoutError("the program's own")

    before = signal.signal(signal.SIGALRM, alarm)
    try:
        for number in range(10):
            # Again and again: CPython misses a signal that comes right before a system call, until the next.
            signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
            with pytest.raises(TimeoutError, match="the program's own"):
                pair[0].recv(1)
            pair[1].send(b"%d" % number)  # at once: the daemon may not have seen us leave
            assert pair[0].recv(10) == b"%d" % number
    finally:
        signal.signal(signal.SIGALRM, before)


def test_eight_threads_each_with_a_conversation(client: Client, listener: Socket):
    def converse(number: int) -> bytes:
        near = client.sockets.create(connect=listener.getsockname())
        with near:
            near.sendall(b"%d" % number)
            near.shutdown(socket.SHUT_WR)
            return near.recv(100)

    def answer(_: int) -> None:
        connection, _peer = listener.accept()
        with connection:
            data = bytearray()
            while part := connection.recv(100):
                data += part
            connection.sendall(data[::-1])

    with ThreadPoolExecutor(16) as pool:
        answering = [pool.submit(answer, number) for number in range(8)]
        answers = list(pool.map(converse, range(100, 108)))
        for one in answering:
            one.result(BOUND_S)
    assert answers == [b"001", b"101", b"201", b"301", b"401", b"501", b"601", b"701"]


def test_list_pages_through_everything_and_filters(client: Client):
    made = client.sockets.create_many(25, bind=LOOPBACK, name="many")
    assert [sock.fd for sock in client.sockets.list(limit=10)] == [sock.fd for sock in made]
    assert [sock.name for sock in client.sockets.list(name="many.7")] == ["many.7"]
    assert list(client.sockets.list(state="listening")) == []
    assert len(list(client.sockets.list(family=socket.AF_INET, type="stream", state="bound", limit=7))) == 25


def test_poll_says_who_is_ready(client: Client, listener: Socket, pair: tuple[Socket, Socket]):
    assert client.poll([listener, pair[0]], 0) == []
    pair[1].send(b"x")
    assert client.poll([listener, pair[0]], BOUND_S) == [(pair[0], select.POLLIN)]
    assert client.poll([listener, pair[0]], None) == [(pair[0], select.POLLIN)]


def test_look_ups(client: Client):
    found = client.addrinfo(
        service=3490, family=socket.AF_INET, type=socket.SOCK_STREAM, flags=["AI_PASSIVE"]
    )
    assert found.results[0].address.as_tuple() == ("0.0.0.0", 3490)
    assert client.byteorder.htons(3490).result == socket.htons(3490)
    assert client.byteorder.ntohl(1).result == socket.ntohl(1)
    network = client.network("192.168.1.10", 24)
    assert (network.network, network.broadcast, network.kinds) == (
        "192.168.1.0",
        "192.168.1.255",
        ("private",),
    )
    assert client.network("fe80::1", 64).broadcast is None
    assert client.health()
    assert client.info().caller is not None


def test_kernel_view_shows_what_waits(client: Client, listener: Socket):
    with socket.create_connection(listener.getsockname(), timeout=BOUND_S) as peer:
        connection, _ = listener.accept()
        peer.sendall(b"five!")
        client.poll([connection], BOUND_S)
        view = connection.inspect()
    assert view.queues is not None
    assert view.queues.unread_bytes == 5
    assert view.tcp_info is not None
    assert "POLLIN" in view.poll


def test_token_is_asked_for_over_tcp(fresh_daemon: Callable[..., DaemonProcess]):
    process = fresh_daemon("--tcp", "127.0.0.1:0", environ={"SOCKETD_TOKEN": "secret-of-the-test"})
    process.await_log("http://127.0.0.1:")
    found = re.search(r"http://127\.0\.0\.1:[0-9]+", process.log)
    assert found is not None
    with Client(found[0]) as stranger:
        with pytest.raises(PermissionError) as caught:
            stranger.info()
        assert isinstance(caught.value, ApiError)
        assert caught.value.status == 401
        assert stranger.health()
    with Client(found[0], token="secret-of-the-test") as known:
        assert known.info().service == "socketd"
        with known.sockets.create(bind=LOOPBACK, listen=True) as listener:
            assert listener.snapshot.state == "listening"


def test_from_env_finds_the_daemon(daemon: DaemonProcess):
    with Client.from_env({"SOCKETD_URL": daemon.url}) as client:
        assert client.info().pid == daemon.pid
