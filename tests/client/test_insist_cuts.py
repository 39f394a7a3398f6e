"""Every call is done once, or is said to be lost, wherever its request or its answer is cut."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from socketd_client import ConnectionLostError
from tests.client.cut_trial import tried
from tests.client.damage import CALL_S, MIB, noise
from tests.client.message_pairs import held
from tests.cutting_proxy import CuttingProxy, Way
from tests.soak import IS_SOAK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from socketd_client import Socket
    from tests.client.cut_trial import Trial
    from tests.daemon_process import DaemonProcess

LOOPBACK = ("127.0.0.1", 0)
PLACES = 150 if IS_SOAK else 12
ELSEWHERE = "a daemon that is no more"

pytestmark = pytest.mark.timeout(1800 if IS_SOAK else 120)


def make_many(trial: Trial) -> None:
    with trial.cut():
        made = [*trial.client.sockets.create_many(3, name="many"), *trial.client.sockets.pair()]
    assert held(trial.direct) == {sock.fd for sock in made}


def accept(trial: Trial) -> None:
    listener = trial.made(bind=LOOPBACK, listen=True)
    with socket.create_connection(listener.getsockname()) as near:  # type: ignore[arg-type]
        with trial.cut():
            accepted, peer = listener.accept()
        assert peer == near.getsockname()
    assert held(trial.direct) == {listener.fd, accepted.fd}


def connect(trial: Trial) -> None:
    sock = trial.made()
    with socket.create_server(LOOPBACK) as listener:
        with trial.cut():
            sock.connect(listener.getsockname())
        near, peer = listener.accept()
        near.close()
        assert peer == sock.getsockname()
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()


def nobodys_address() -> tuple[str, int]:
    with socket.socket() as sock:
        sock.bind(LOOPBACK)
        host, port = sock.getsockname()
        return host, port


def connect_to_nobody(trial: Trial) -> None:
    sock = trial.made()
    with trial.cut(), pytest.raises(ConnectionRefusedError):
        sock.connect(nobodys_address())


def learn_that_a_connect_failed(trial: Trial) -> None:
    sock = trial.made()
    sock.settimeout(0)
    assert sock.connect_ex(nobodys_address()) == errno.EINPROGRESS
    assert trial.direct.poll([(sock, select.POLLOUT)], CALL_S)
    with trial.cut():
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


def check_message(sock: Socket, mine: socket.socket) -> None:
    """Receive the one message, which has a descriptor of ``mine``."""
    data, (number,), _, _ = socket.recv_fds(sock, 64, 4)  # type: ignore[arg-type]
    with socket.socket(fileno=number) as came:
        assert (data, came.getsockname()) == (b"hello", mine.getsockname())


def check_silence(sock: Socket) -> None:
    sock.settimeout(0)
    with pytest.raises(BlockingIOError):
        sock.recv(64)


def send_a_descriptor(trial: Trial) -> None:
    left, right = trial.direct.sockets.pair(type="dgram")
    sender = trial.seen(left)
    with socket.create_server(LOOPBACK) as mine:
        with trial.cut():
            socket.send_fds(sender, [b"hello"], [mine.fileno()])  # type: ignore[arg-type]
        check_message(right, mine)
    check_silence(right)
    assert held(trial.direct) == {left.fd, right.fd}


def receive_a_descriptor(trial: Trial) -> None:
    left, right = trial.direct.sockets.pair(type="dgram")
    receiver = trial.seen(right)
    with socket.create_server(LOOPBACK) as mine:
        socket.send_fds(left, [b"hello"], [mine.fileno()])  # type: ignore[arg-type]
        with trial.cut():
            check_message(receiver, mine)
    check_silence(right)
    assert held(trial.direct) == {left.fd, right.fd}


def upload(trial: Trial) -> None:
    left, right = trial.direct.sockets.pair()
    sender, data = trial.seen(left), noise(2 * MIB, 1)
    with right.take(blocking=True) as local, ThreadPoolExecutor(1) as pool:
        local.settimeout(CALL_S)
        arriving = pool.submit(lambda: b"".join(iter(lambda: local.recv(MIB), b"")))
        with trial.cut():
            sender.sendall(data)
        left.shutdown(socket.SHUT_WR)
        assert arriving.result(CALL_S) == data


def give(trial: Trial) -> None:
    with socket.create_server(LOOPBACK) as mine, socket.socket() as other:
        with trial.cut():
            given = trial.client.give(mine, other, names=["mine", None])
        assert given[0].getsockname() == mine.getsockname()
    assert held(trial.direct) == {sock.fd for sock in given}


def give_after_a_restart(trial: Trial) -> None:
    trial.client.exchange.note(ELSEWHERE)
    give(trial)


def take(trial: Trial) -> None:
    sock = trial.made(bind=LOOPBACK)
    with trial.cut(), sock.take() as local:
        assert local.getsockname() == sock.getsockname()


def release(trial: Trial) -> None:
    bound, other = trial.made(bind=LOOPBACK), trial.made()
    name = bound.getsockname()
    with trial.cut():
        taken = trial.client.take(bound.fd, other.fd, release=True)
    with taken[0], taken[1]:
        assert taken[0].getsockname() == name
    assert not held(trial.direct)


def name_and_close(trial: Trial) -> None:
    with trial.cut():
        trial.client.names.ensure("stream", bind=LOOPBACK)
        trial.client.names.delete("stream")
        trial.client.sockets.ensure("connect").close()
    assert not held(trial.direct)


def forward(trial: Trial) -> None:
    near, far = trial.direct.sockets.pair()
    west, east = trial.direct.sockets.pair()
    ends = trial.seen(far), trial.seen(west)
    with trial.cut(), trial.client.forwards.create(*ends):
        near.sendall(b"hello")
        assert east.recv(64) == b"hello"
    assert not [each for each in trial.direct.forwards.list() if each.snapshot.is_running]


def tunnel_to_a_busy_socket(trial: Trial) -> None:
    _, right = trial.direct.sockets.pair()
    asked = trial.seen(right)
    with right.tunnel(), trial.cut(), pytest.raises((OSError, ConnectionLostError)) as caught:
        asked.tunnel()
    assert isinstance(caught.value, ConnectionLostError) or caught.value.errno == errno.EBUSY


def tunnel(trial: Trial) -> None:
    left, right = trial.direct.sockets.pair()
    left.sendall(b"hello")
    asked = trial.seen(right)
    # It may have taken bytes: then the next one must not look like the first.
    with trial.cut(), contextlib.suppress(ConnectionLostError), asked.tunnel() as opened:
        opened.settimeout(CALL_S)
        assert b"hello".startswith(opened.recv(64))


def tunnel_after_a_restart(trial: Trial) -> None:
    trial.client.exchange.note(ELSEWHERE)
    tunnel(trial)


OPERATIONS: list[Callable[[Trial], None]] = [
    make_many,
    accept,
    connect,
    connect_to_nobody,
    learn_that_a_connect_failed,
    send_a_descriptor,
    receive_a_descriptor,
    upload,
    give,
    give_after_a_restart,
    take,
    release,
    name_and_close,
    forward,
    tunnel,
    tunnel_after_a_restart,
    tunnel_to_a_busy_socket,
]


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_call_is_done_once_wherever_it_is_cut(
    daemon: DaemonProcess, tmp_path: Path, operation: Callable[[Trial], None], way: Way
):
    with CuttingProxy(daemon.socket_path, tmp_path / "front") as proxy:
        size = tried(proxy, daemon, operation).carried[way]
        places = {*range(0, size, max(size // PLACES, 1)), size - 1}
        for after in sorted(places):
            tried(proxy, daemon, operation, (way, after))
