"""``Socket.tunnel`` over every way to the daemon: a real socket here, and the held one's bytes."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import socket
import ssl
import struct
import termios
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import pytest

from socketd_client import ApiError, Client, Trust
from tests.certificates import Authority
from tests.daemon_process import running_daemon
from tests.socketctl_process import await_that, socketctl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.daemon_process import DaemonProcess

TOKEN = "secret"
MANY_BYTES = 8 * 1024 * 1024
NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
RESET = struct.pack("ii", 1, 0)


class Way(NamedTuple):
    """A daemon, and how one comes to it."""

    daemon: DaemonProcess
    url: str
    trust: Trust

    def client(self) -> Client:
        return Client(self.url, token=None if self.url.startswith("unix:") else TOKEN, trust=self.trust)


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki") / "authority")


@pytest.fixture
def opened(fresh_daemon, authority) -> Callable[[str], Way]:
    """Start a daemon of the test's own, and say how to come to it by a scheme."""

    def start(scheme: str) -> Way:
        return _way(
            fresh_daemon(*_flags(scheme, authority), environ={"SOCKETD_TOKEN": TOKEN}), scheme, authority
        )

    return start


@pytest.fixture(scope="module", params=["unix", "http", "https"])
def way(request, tmp_path_factory, authority) -> Iterator[Way]:
    flags = _flags(request.param, authority)
    with running_daemon(
        tmp_path_factory.mktemp("daemon"), *flags, environ={"SOCKETD_TOKEN": TOKEN}
    ) as daemon:
        yield _way(daemon, request.param, authority)


def _flags(scheme: str, authority: Authority) -> list[str]:
    if scheme != "https":
        return ["--tcp", "127.0.0.1:0"]
    pair = authority.issue("localhost", "server")
    return ["--tcp", "127.0.0.1:0", "--tls-certificate", pair.certificate, "--tls-key", pair.key]


def _way(daemon: DaemonProcess, scheme: str, authority: Authority) -> Way:
    if scheme == "unix":
        return Way(daemon, daemon.url, Trust())
    daemon.await_log(f"{scheme}://127.0.0.1")
    found = re.search(rf"{scheme}://127\.0\.0\.1:[0-9]+", daemon.log)
    assert found is not None
    return Way(daemon, found[0], Trust(authority.certificate) if scheme == "https" else Trust())


@pytest.fixture
def client(way) -> Iterator[Client]:
    with way.client() as client:
        yield client


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        yield server


@pytest.fixture
def connected(client, listener):
    """A held connection, and its other end here."""
    with client.sockets.create(connect=listener.getsockname()) as held:
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(30)
            held.settimeout(30)
            yield held, peer


def all_of(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def test_each_end_of_file_is_passed_on_and_the_other_direction_goes_on(connected):
    held, peer = connected
    with held.tunnel() as tunnel:
        tunnel.sendall(b"to the peer")
        assert peer.recv(100) == b"to the peer"
        tunnel.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
        peer.sendall(b"after your end")
        peer.shutdown(socket.SHUT_WR)
        assert all_of(tunnel) == b"after your end"


def test_peer_that_ends_first_still_hears(connected):
    held, peer = connected
    with held.tunnel() as tunnel:
        peer.shutdown(socket.SHUT_WR)
        assert tunnel.recv(1) == b""
        tunnel.sendall(b"still heard")
        assert peer.recv(100) == b"still heard"
        tunnel.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""


def test_megabytes_both_ways_at_once_arrive_as_they_are(connected):
    held, peer = connected
    there, back = (bytes([number]) * MANY_BYTES for number in (1, 2))
    heard: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: (peer.sendall(back), peer.shutdown(socket.SHUT_WR))),
        threading.Thread(target=lambda: heard.append(all_of(peer))),
    ]
    with held.tunnel() as tunnel:
        for thread in threads:
            thread.start()
        came = exchanged(tunnel, there)
        for thread in threads:
            thread.join(60)
    assert came == back
    assert heard == [there]


def exchanged(tunnel: socket.socket, data: bytes) -> bytes:
    """Send and receive by turns until both ends, for OpenSSL does not read and write at the same time."""
    tunnel.settimeout(0)
    rest, came, piece = memoryview(data), bytearray(), b"-"
    while rest or piece:
        select.select([tunnel] if piece else [], [tunnel] if rest else [], [], 1)
        with suppress(*NOT_YET):
            while piece:
                piece = tunnel.recv(1 << 16)
                came += piece
        with suppress(*NOT_YET):
            while rest:
                rest = rest[tunnel.send(rest[: 1 << 16]) :]
                if not rest:
                    tunnel.shutdown(socket.SHUT_WR)
    return bytes(came)


def test_nobody_else_sends_or_receives_meanwhile(connected):
    held, _ = connected
    with held.tunnel():
        for call in (lambda: held.send(b"x"), lambda: held.recv(1), held.tunnel):
            with pytest.raises(ApiError) as caught:
                call()
            assert (caught.value.status, caught.value.code) == (409, "busy")


def test_socket_is_still_held_when_its_tunnel_has_ended(connected):
    held, peer = connected
    with held.tunnel() as tunnel:
        peer.shutdown(socket.SHUT_WR)
        assert tunnel.recv(1) == b""
        tunnel.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
    assert held.info().fd == held.fd


def test_what_cannot_be_tunnelled_is_refused_by_its_errno(client, listener):
    with client.sockets.create() as fresh, pytest.raises(ApiError) as caught:
        fresh.tunnel()
    assert (caught.value.status, caught.value.problem.errno) == (409, "ENOTCONN")
    with client.sockets.create(type="dgram", connect=listener.getsockname()) as datagrams:
        with pytest.raises(ApiError) as caught:
            datagrams.tunnel()
        assert (caught.value.status, caught.value.problem.errno) == (422, "EOPNOTSUPP")


def test_reset_of_the_peer_is_a_reset_of_the_tunnel(way, connected):
    held, peer = connected
    with held.tunnel() as tunnel:
        peer.sendall(b"last words")
        assert tunnel.recv(100) == b"last words"
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        peer.close()
        if way.url.startswith("unix:"):
            assert tunnel.recv(1) == b""  # there is no reset of a Unix connection
        else:
            with pytest.raises(ConnectionResetError):
                all_of(tunnel)


def test_last_words_of_a_peer_come_before_its_reset(connected):
    held, peer = connected
    with held.tunnel() as tunnel:
        tunnel.sendall(b"a")
        assert peer.recv(1) == b"a"
        words = b"w" * 150_000
        peer.sendall(words)
        # Its reset would take back what has not come yet.
        await_that(lambda: not _unsent(peer), lambda: "its bytes")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        peer.close()
        heard = b""
        with suppress(ConnectionResetError):
            while piece := tunnel.recv(1 << 16):
                heard += piece
    assert heard == words


def _unsent(sock: socket.socket) -> int:
    return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0])


def test_close_of_the_socket_ends_its_tunnel(way, connected):
    held, _ = connected
    with held.tunnel() as tunnel:
        held.close()
        if way.url.startswith("unix:"):
            assert tunnel.recv(1) == b""
        else:
            with pytest.raises(ConnectionResetError):
                tunnel.recv(1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_daemon_that_ends_resets_its_tunnels(opened, listener, scheme, number):
    """An end of file would be taken for the peer's: the rest of a file would be missing and nobody told."""
    way = opened(scheme)
    with way.client() as client, listener:
        held = client.sockets.create(connect=listener.getsockname())
        peer, _ = listener.accept()
        with peer, held.tunnel() as tunnel:
            peer.sendall(b"some")
            tunnel.settimeout(30)
            assert tunnel.recv(100) == b"some"
            os.kill(way.daemon.pid, number)  # the worker: its master follows
            with pytest.raises(ConnectionResetError):
                tunnel.recv(1)


def test_client_that_closes_leaves_the_socket_as_it_is_over_a_unix_connection(opened, listener):
    way = opened("unix")
    with way.client() as client:
        held = client.sockets.create(connect=listener.getsockname())
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(30)
            with held.tunnel() as tunnel:
                tunnel.sendall(b"first ")
                assert peer.recv(100) == b"first "
            with _when_free(held) as tunnel:
                tunnel.sendall(b"second")
                assert peer.recv(100) == b"second"


def _when_free(held) -> socket.socket:
    """Open another tunnel once the daemon has seen the end of the one before."""
    found: list[socket.socket] = []

    def is_free() -> bool:
        with suppress(ApiError):
            found.append(held.tunnel())
        return bool(found)

    await_that(is_free, lambda: "the end of the first tunnel")
    return found[0]


def test_nc_goes_through_a_tunnel(way, listener):
    said = []

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(60)
            said.append(all_of(peer))
            peer.sendall(b"x" * 300_000)

    thread = threading.Thread(target=serve)
    thread.start()
    extra = {"SOCKETD_TOKEN": None if way.url.startswith("unix:") else TOKEN, "SOCKETD_CA": way.trust.ca}
    host, port = listener.getsockname()
    done = socketctl(way.url, "nc", host, str(port), stdin=b"y" * 300_000, extra=extra)
    thread.join()
    assert (done.returncode, done.stderr) == (0, "")
    assert said == [b"y" * 300_000]
    assert done.stdout == "x" * 300_000
