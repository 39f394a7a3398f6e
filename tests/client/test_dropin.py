"""The drop-in socket class against a real daemon: the manners of ``socket.socket``."""

from __future__ import annotations

import errno
import gc
import os
import select
import socket
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import Client, Socket
from tests.client.dropin_listener import listener

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["listener"]  # fixtures

BOUND_S = 30.0


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
