"""The client against a real daemon: what goes wrong is told as by a local socket."""

from __future__ import annotations

import errno
import select
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import ApiError, Client, Socket
from tests.client.live_parts import BOUND_S, LOOPBACK, listener, pair, taken_port

if TYPE_CHECKING:
    from tests.daemon_process import DaemonProcess

__all__ = ["listener", "pair"]  # fixtures


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


def test_sendall_to_a_peer_that_does_not_read_times_out(pair: tuple[Socket, Socket]):
    pair[0].settimeout(0.2)
    with pytest.raises(TimeoutError):
        pair[0].sendall(b"x" * 4_000_000)


def test_send_to_a_peer_that_has_gone_is_a_broken_pipe(pair: tuple[Socket, Socket]):
    pair[1].close()
    with pytest.raises(BrokenPipeError):
        pair[0].sendall(b"x")


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
