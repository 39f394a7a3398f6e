"""A held socket's descriptor in this process: what goes through the daemon, and what does not."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import select
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import Client, Socket
from socketd_client.taken import Taken, preferred
from tests.certificates import Authority
from tests.client.http_stand_in import Reply, serving, socket_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


LOOPBACK = ("127.0.0.1", 0)
WAIT_S = 20.0


@pytest.fixture
def listener(client: Client) -> Iterator[Taken]:
    with Taken(client.sockets.create(bind=LOOPBACK, listen=True)) as listener:
        yield listener


@pytest.fixture
def connection(listener: Taken) -> Iterator[tuple[Taken, socket.socket]]:
    with socket.create_connection(listener.getsockname(), WAIT_S) as peer:
        accepted, _ = listener.accept()
        with accepted:
            yield accepted, peer


def held_numbers(client: Client) -> set[int]:
    return {sock.fd for sock in client.sockets.list()}


def test_it_is_a_real_socket_and_the_held_one(client: Client):
    with Taken(client.sockets.create(type=socket.SOCK_DGRAM)) as sock:
        assert isinstance(sock, socket.socket)
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_DGRAM)
        cookie = sock.getsockopt(socket.SOL_SOCKET, 57, 8)  # SO_COOKIE
        assert int.from_bytes(cookie, "little") == sock.held.cookie
        assert not os.get_inheritable(sock.fileno())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        assert sock.held.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) == 1


def test_bind_and_listen_are_the_daemons(client: Client):
    with Taken(client.sockets.create()) as sock:
        sock.bind(LOOPBACK)
        sock.listen()
        assert sock.held.snapshot.state == "listening"
        assert sock.getsockname() == sock.held.getsockname()


def test_accepted_connection_is_held_and_its_bytes_are_local(
    client: Client, connection: tuple[Taken, socket.socket]
):
    accepted, peer = connection
    assert accepted.held.fd in held_numbers(client)
    assert accepted.getpeername() == peer.getsockname()
    peer.sendall(b"hello")
    assert accepted.recv(100) == b"hello"
    accepted.sendall(b"there")
    assert peer.recv(100) == b"there"
    assert accepted.gettimeout() is None


def test_connect_is_the_daemons(client: Client, listener: Taken):
    with Taken(client.sockets.create()) as sock:
        sock.settimeout(WAIT_S)
        sock.connect(listener.getsockname())
        assert sock.held.snapshot.state == "connected"
        listener.accept()[0].close()
        assert sock.recv(1) == b""
    with socket.socket() as bound, Taken(client.sockets.create()) as sock:
        bound.bind(LOOPBACK)
        assert sock.connect_ex(bound.getsockname()) == errno.ECONNREFUSED
    with Taken(client.sockets.create()) as sock, pytest.raises(ConnectionRefusedError):
        sock.connect(bound_and_gone())


def bound_and_gone() -> Any:
    with socket.socket() as bound:
        bound.bind(LOOPBACK)
        return bound.getsockname()


def test_timeouts_are_those_of_the_daemons_calls_too(listener: Taken):
    listener.settimeout(0.01)
    with pytest.raises(TimeoutError):
        listener.accept()
    listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_description_stays_nonblocking_so_the_daemon_never_hangs(listener: Taken):
    listener.settimeout(None)
    listener.setblocking(True)  # noqa: FBT003
    assert not os.get_blocking(listener.fileno())
    other = listener.held.dup()
    other.settimeout(0)
    with pytest.raises(BlockingIOError):
        other.accept()
    other.close()


def test_accepted_socket_waits_for_ever_or_as_the_default_says(listener: Taken):
    listener.settimeout(WAIT_S)
    for default in (None, 7.0):
        socket.setdefaulttimeout(default)
        try:
            with socket.create_connection(listener.getsockname()):
                accepted, _ = listener.accept()
        finally:
            socket.setdefaulttimeout(None)
        with accepted:
            assert accepted.gettimeout() == default
            assert accepted.held.gettimeout() == default


def test_close_frees_the_port_and_ends_the_connection(client: Client):
    listener = Taken(client.sockets.create(bind=LOOPBACK, listen=True))
    address = listener.getsockname()
    with socket.create_connection(address, WAIT_S) as peer:
        accepted, _ = listener.accept()
        accepted.close()
        accepted.close()
        assert peer.recv(1) == b""
    listener.close()
    assert listener.fileno() == -1
    assert held_numbers(client) == set()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_close_waits_for_the_files_of_makefile(client: Client, connection: tuple[Taken, socket.socket]):
    accepted, peer = connection
    file = accepted.makefile("rwb")
    accepted.close()
    file.write(b"line\n")
    file.flush()
    assert peer.recv(100) == b"line\n"
    peer.sendall(b"reply\n")
    assert file.readline() == b"reply\n"
    file.close()
    assert peer.recv(1) == b""
    assert accepted.held.fd not in held_numbers(client)


def test_duplicate_keeps_it_open(client: Client, connection: tuple[Taken, socket.socket]):
    accepted, peer = connection
    accepted.settimeout(3)
    twin = accepted.dup()
    assert (type(twin), twin.gettimeout()) == (Taken, 3)
    accepted.close()
    assert twin.held.fd in held_numbers(client)
    twin.sendall(b"x")
    assert peer.recv(1) == b"x"
    twin.close()
    assert peer.recv(1) == b""
    assert twin.held.fd not in held_numbers(client)


def test_what_was_closed_elsewhere_closes_and_detaches_well(client: Client):
    one, other = (Taken(sock) for sock in client.sockets.pair())
    for sock in (one, other):
        client.sockets.get(sock.held.fd).close()
    one.sendall(b"x")
    assert other.recv(1) == b"x"
    one.close()
    os.close(other.detach())
    assert held_numbers(client) == set()


def test_detached_descriptor_is_the_callers_alone(client: Client, connection: tuple[Taken, socket.socket]):
    accepted, peer = connection
    number = accepted.fileno()
    assert accepted.detach() == number
    assert accepted.fileno() == -1
    assert accepted.held.fd not in held_numbers(client)
    with socket.socket(fileno=number) as mine:
        mine.sendall(b"x")
        assert peer.recv(1) == b"x"
    assert peer.recv(1) == b""


def test_tls_over_a_taken_connection_ends_when_it_is_closed(
    tmp_path: Path, connection: tuple[Taken, socket.socket]
):
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("server", "server")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair.certificate, pair.key)
    trusting = ssl.create_default_context(cafile=authority.certificate)
    accepted, peer = connection

    def serve() -> None:
        with server.wrap_socket(accepted, server_side=True) as secured:
            secured.sendall(secured.recv(100).upper())
            with contextlib.suppress(OSError):
                secured.unwrap()

    thread = threading.Thread(target=serve)
    thread.start()
    with trusting.wrap_socket(peer, server_hostname="localhost") as secured:
        secured.sendall(b"hello")
        assert secured.recv(100) == b"HELLO"
        assert secured.recv(100) == b""
    thread.join(WAIT_S)


def test_kernel_calls_take_it(tmp_path: Path, connection: tuple[Taken, socket.socket]):
    accepted, peer = connection
    content = os.urandom(100_000)
    (tmp_path / "file").write_bytes(content)
    came = bytearray()

    def read() -> None:
        while len(came) < len(content):
            came.extend(peer.recv(65536))

    thread = threading.Thread(target=read)
    thread.start()
    with (tmp_path / "file").open("rb") as file:
        assert accepted.sendfile(file) == len(content)
    thread.join(WAIT_S)
    assert came == content
    peer.send(b"x")
    assert select.select([accepted], [], [], WAIT_S) == ([accepted], [], [])
    accepted.shutdown(socket.SHUT_RDWR)
    assert peer.recv(1) == b""


def test_forked_child_uses_its_copy(connection: tuple[Taken, socket.socket]):
    accepted, peer = connection
    child = os.fork()
    if child == 0:
        try:
            accepted.sendall(b"from the child")
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert peer.recv(100) == b"from the child"
    accepted.sendall(b"x")
    assert peer.recv(1) == b"x"


def test_preferred_is_the_descriptor_over_a_unix_socket_and_the_handle_over_tcp(client: Client):
    with preferred(client.sockets.create()) as sock:
        assert isinstance(sock, Taken)
    with serving(lambda _seen: Reply(socket_json())) as server, Client(server.url) as far:
        assert isinstance(preferred(far.sockets.get(64)), Socket)
        assert all(not seen.path.endswith("/take") for seen in server.seen)


def test_without_room_for_the_descriptor_nothing_stays_held(client: Client, listener: Taken):
    made = client.sockets.create()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_connection(listener.getsockname(), WAIT_S) as peer:
        resource.setrlimit(resource.RLIMIT_NOFILE, (first_free_number(), hard))
        try:
            for call in (lambda: preferred(made), listener.accept):
                with pytest.raises(OSError, match="Too many open files"):
                    call()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert peer.recv(1) == b""
    assert held_numbers(client) == {listener.held.fd}


def first_free_number() -> int:
    number = os.dup(0)
    os.close(number)
    return number
