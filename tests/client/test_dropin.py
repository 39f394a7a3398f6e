"""The drop-in socket class against a real daemon: who closes what, and the manners of ``socket.socket``."""

from __future__ import annotations

import errno
import gc
import os
import select
import socket
import subprocess
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import socketd_client
from socketd_client import Client, Socket
from socketd_client.constants import FILENO_BASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.daemon_process import DaemonProcess

BOUND_S = 30.0
LOOPBACK = ("127.0.0.1", 0)


@pytest.fixture
def listener(client: Client) -> Iterator[Socket]:
    with socketd_client.create_server(LOOPBACK, client=client) as listener:
        assert isinstance(listener, Socket)
        yield listener


def held(client: Client) -> list[int]:
    return [sock.fd for sock in client.sockets.list()]


def same(call: Callable[[Any], Any], local: Any, remote: Any) -> None:
    """Hold what a call does to a held socket to what it does to a local one."""
    outcomes = []
    for sock in (local, remote):
        try:
            outcomes.append((None, call(sock)))
        except (OSError, TypeError, ValueError, OverflowError) as error:
            base = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
            outcomes.append((base, getattr(error, "errno", None)))
    assert outcomes[0] == outcomes[1]


def test_dropped_socket_is_closed_by_the_next_call(daemon: DaemonProcess, client: Client):
    with Client(daemon.url) as other:
        sock = Socket(client=other)
        fd = sock.fd
        dropped = [sock]
        del sock
        with pytest.warns(ResourceWarning, match="unclosed"):
            dropped.clear()
        assert held(client) == [fd]  # the collector makes no request
        other.sockets.create().close()
        assert held(client) == []


def test_what_the_collection_returns_outlives_its_handle(client: Client):
    fd = client.sockets.create(bind=LOOPBACK).fd
    gc.collect()
    with Socket(client=client):
        pass
    assert held(client) == [fd]


def test_accepted_on_an_owned_listener_is_owned(listener: Socket):
    with socket.create_connection(listener.getsockname()) as peer:
        accepted, address = listener.accept()
        assert address == peer.getsockname()
        dropped = [accepted]
        del accepted
        with pytest.warns(ResourceWarning, match="unclosed"):
            dropped.clear()
        listener.info()
        assert peer.recv(1) == b""


def test_accepted_on_a_listener_of_the_collection_outlives_its_handle(client: Client):
    listener = client.sockets.create(bind=LOOPBACK, listen=True)
    with socket.create_connection(listener.getsockname()):
        fd = listener.accept()[0].fd
        gc.collect()
        listener.info()
        assert fd in held(client)


def test_duplicate_keeps_the_socket_open(client: Client):
    first = Socket(client=client)
    first.settimeout(3)
    second = first.dup()
    assert (second.fileno(), second.gettimeout(), second.proto) == (first.fileno(), 3.0, 0)
    first.close()
    assert (first.fileno(), second.getsockname()) == (-1, ("0.0.0.0", 0))
    second.close()
    assert held(client) == []


def test_duplicate_of_the_collections_is_closed_as_the_last(client: Client):
    first = client.sockets.create()
    second = first.dup()
    del first
    gc.collect()
    assert held(client) == [second.fd]
    second.close()
    assert held(client) == []


def test_fromfd_of_a_held_number_is_a_duplicate(client: Client):
    with Socket(client=client) as first:
        second = socketd_client.fromfd(first.fileno(), socket.AF_INET, socket.SOCK_STREAM, client=client)
        second.close()
        assert held(client) == [first.fd]


def test_detached_number_is_adopted(client: Client):
    first = Socket(client=client)
    number = first.detach()
    del first
    gc.collect()
    assert number > FILENO_BASE
    second = Socket(fileno=number, client=client)
    assert (second.family, second.type, second.proto) == (
        socket.AF_INET,
        socket.SOCK_STREAM,
        socket.IPPROTO_TCP,
    )
    second.close()
    assert held(client) == []


def test_detached_socket_stays_with_the_daemon(client: Client):
    first = Socket(client=client)
    fd = first.fd
    assert (first.detach(), first.detach()) == (FILENO_BASE + fd, -1)
    first.close()
    assert held(client) == [fd]


def test_number_that_is_nobodys_is_ebadf(client: Client):
    for number in (FILENO_BASE + 999_999, 99_999):
        with pytest.raises(OSError, match=r"Bad file descriptor|EBADF") as caught:
            Socket(fileno=number, client=client)
        assert caught.value.errno == errno.EBADF


def test_second_object_of_a_number_closes_it_for_both(client: Client):
    first = Socket(client=client)
    second = Socket(fileno=first.fileno(), client=client)
    second.close()
    with pytest.raises(OSError, match="EBADF") as caught:
        first.close()
    assert caught.value.errno == errno.EBADF
    first.close()


def test_local_descriptor_is_given_and_closed_here(client: Client):
    local = socket.socket()
    local.bind(LOOPBACK)
    name, inode = local.getsockname(), os.fstat(local.fileno()).st_ino
    with Socket(fileno=local.detach(), client=client) as sock:
        assert (sock.getsockname(), sock.snapshot.inode) == (name, inode)
        links = [path.readlink().name for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        assert f"socket:[{inode}]" not in links


def test_fromfd_of_a_local_descriptor_leaves_it_open(client: Client):
    with socket.create_server(LOOPBACK) as local:
        copy = socketd_client.fromfd(local.fileno(), socket.AF_INET, socket.SOCK_STREAM, client=client)
        with copy:
            assert copy.getsockname() == local.getsockname()
        assert local.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


PROGRAM_THAT_ENDS = """
import sys
from socketd_client import Client, Socket
kept = Socket(client=Client(sys.argv[1]))
kept.bind(("127.0.0.1", 0))
Client(sys.argv[1]).sockets.create(name="outlives")
{end}
"""


@pytest.mark.parametrize("end", ["", "raise SystemExit", "del kept"])
def test_program_that_ends_takes_its_own_sockets_along(client: Client, end: str):
    code = PROGRAM_THAT_ENDS.format(end=end)
    home = str(Path(socketd_client.__file__).parent.parent)
    command = [sys.executable, "-W", "ignore", "-c", code, client.url]
    subprocess.run(command, check=True, timeout=BOUND_S, env={**os.environ, "PYTHONPATH": home})
    assert [sock.name for sock in client.sockets.list()] == ["outlives"]


def test_client_that_is_closed_takes_its_own_sockets_along(daemon: DaemonProcess, client: Client):
    with Client(daemon.url) as other:
        sock = Socket(client=other)
        fd = other.sockets.create().fd
    assert sock.fileno() == -1
    assert held(client) == [fd]


def test_forked_child_that_ends_closes_nothing(client: Client):
    with Socket(client=client) as sock:
        child = os.fork()
        if not child:
            sock.close()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert sock.getsockname() == ("0.0.0.0", 0)


def test_weak_references_and_attributes(client: Client):
    sock = Socket(client=client)
    reference = weakref.ref(sock)
    assert (sock.timeout, sock.get_inheritable()) == (None, False)
    sock.set_inheritable(True)
    sock.timeout_is_mine = 1  # type: ignore[attr-defined]  # as on a subclass of socket.socket
    assert sock.get_inheritable()
    sock.close()
    assert "fd=-1" in repr(sock)
    with pytest.raises(OSError, match="Bad file descriptor"):
        sock.get_inheritable()
    del sock
    gc.collect()
    assert reference() is None


ARGUMENTS: list[Callable[[Any], Any]] = [
    lambda sock: sock.settimeout("x"),
    lambda sock: sock.settimeout(float("nan")),
    lambda sock: sock.settimeout(-1),
    lambda sock: sock.settimeout(1e300),
    lambda sock: sock.settimeout(2**70),
    lambda sock: sock.setblocking("x"),
    lambda sock: (sock.settimeout(1), sock.gettimeout(), sock.timeout, sock.getblocking()),
    lambda sock: (sock.settimeout(0), sock.gettimeout(), sock.getblocking()),
    lambda sock: (sock.settimeout(None), sock.gettimeout(), sock.getblocking()),
    lambda sock: sock.setsockopt(1, 2, 2**40),
    lambda sock: sock.setsockopt(1, 2, "x"),
    lambda sock: sock.setsockopt(1, 2, [1]),
    lambda sock: sock.setsockopt(1, 2, None),
    lambda sock: sock.setsockopt(2**40, 2, 1),
    lambda sock: sock.setsockopt("x", 2, 1),
    lambda sock: sock.setsockopt(1, 2, 1, 4),
    lambda sock: sock.getsockopt("x", 1),
    lambda sock: sock.getsockopt(1, 2, -1),
    lambda sock: sock.getsockopt(1, 2),
    lambda sock: sock.getsockopt(1, 2, 4),
    lambda sock: sock.listen("x"),
    lambda sock: sock.listen(2**40),
    lambda sock: sock.shutdown("x"),
    lambda sock: sock.shutdown(7),
    lambda sock: sock.bind("127.0.0.1:0"),
    lambda sock: sock.bind(["127.0.0.1", 0]),
    lambda sock: sock.bind(("127.0.0.1", -1)),
    lambda sock: sock.bind(("127.0.0.1",)),
    lambda sock: sock.connect(["127.0.0.1", 1]),
    lambda sock: sock.connect(("127.0.0.1", 65536)),
    lambda sock: sock.connect(("127.0.0.1", "80")),
    lambda sock: sock.connect_ex(("127.0.0.1", 65536)),
    lambda sock: sock.recv(-1),
    lambda sock: sock.recv("x"),
    lambda sock: sock.send("x"),
    lambda sock: sock.sendall(7),
    lambda sock: sock.sendto(b"x"),
    lambda sock: sock.recv_into(b"constant"),
    lambda sock: sock.recv_into(bytearray(2), 3),
    lambda sock: sock.recv_into(bytearray(2), -1),
    lambda sock: sock.makefile("x"),
    lambda sock: sock.makefile("r", 0),
    lambda sock: sock.sendfile(object(), 0, 0),
    lambda sock: sock.sendfile(object(), 0, 1.5),
    lambda sock: sock.getpeername(),
    lambda sock: sock.getsockname(),
    lambda sock: (int(sock.family), int(sock.type), sock.proto),
    lambda sock: sock.connect_ex(("127.0.0.1", 1)),
]


@pytest.mark.parametrize("nth", range(len(ARGUMENTS)))
def test_call_of_a_new_socket_ends_as_a_local_one_does(client: Client, nth: int):
    with socket.socket() as local, Socket(client=client) as remote:
        same(ARGUMENTS[nth], local, remote)


CONSTRUCTORS: list[dict[str, Any]] = [
    {"family": "inet"},
    {"type": "stream"},
    {"fileno": "x"},
    {"fileno": -2},
    {"fileno": 1.0},
    {"family": 2**40},
    {"family": 12345},
    {"type": 99},
    {"proto": 6},
    {"family": socket.AF_INET6, "type": socket.SOCK_DGRAM | socket.SOCK_CLOEXEC},
    {"type": socket.SOCK_STREAM | socket.SOCK_NONBLOCK},
]


@pytest.mark.parametrize("arguments", CONSTRUCTORS)
def test_constructor_ends_as_the_local_one_does(client: Client, arguments: dict[str, Any]):
    def make(kind: Callable[..., Any]) -> tuple[Any, ...]:
        with kind(**arguments) as sock:
            return int(sock.family), int(sock.type), sock.proto, sock.gettimeout(), sock.getblocking()

    same(make, socket.socket, lambda **given: Socket(client=client, **given))


def test_closed_socket_still_answers_what_needs_no_kernel(client: Client):
    sock = Socket(socket.AF_INET6, socket.SOCK_DGRAM, client=client)
    sock.settimeout(2)
    sock.close()
    sock.close()
    assert (sock.fileno(), sock.gettimeout(), sock.getblocking()) == (-1, 2.0, True)
    assert (sock.family, sock.type, sock.proto) == (socket.AF_INET6, socket.SOCK_DGRAM, 0)
    for name, arguments in {"recv": (1,), "dup": (), "getsockname": (), "makefile": ()}.items():
        if name != "makefile":  # as locally: the file is there, and reading it fails
            with pytest.raises(OSError, match="Bad file descriptor") as caught:
                getattr(sock, name)(*arguments)
            assert caught.value.errno == errno.EBADF


def test_every_new_socket_honours_the_default_timeout(client: Client, listener: Socket):
    listener.settimeout(BOUND_S)
    with socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        assert accepted.gettimeout() is None
        accepted.close()
    socket.setdefaulttimeout(4)
    try:
        with Socket(client=client) as sock, socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                assert (sock.gettimeout(), accepted.gettimeout()) == (4.0, 4.0)
    finally:
        socket.setdefaulttimeout(None)


def test_unix_paths_are_the_clients(client: Client, tmp_path: Path):
    folder = Path.cwd()
    os.chdir(tmp_path)
    try:
        with Socket(socket.AF_UNIX, socket.SOCK_STREAM, client=client) as sock:
            sock.bind(os.fsdecode(b"s\xff"))
            assert sock.getsockname() == os.fsdecode(os.fsencode(tmp_path) + b"/s\xff")
    finally:
        os.chdir(folder)
    with Socket(socket.AF_UNIX, client=client) as sock:
        sock.bind(b"\0name of " + os.fsencode(tmp_path.name))
        assert sock.getsockname() == b"\0name of " + os.fsencode(tmp_path.name)


def test_select_on_a_number_hits_nothing_of_ours(client: Client):
    with Socket(client=client) as sock:
        poll = select.poll()
        poll.register(sock)
        assert poll.poll(0) == [(sock.fileno(), select.POLLNVAL)]
