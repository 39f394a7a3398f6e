"""Who closes a drop-in socket: its object, its client, its program, another object, or nobody."""

from __future__ import annotations

import errno
import gc
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import socketd_client
from socketd_client import Client, Socket
from socketd_client.constants import FILENO_BASE
from tests.client.dropin_listener import LOOPBACK, listener

if TYPE_CHECKING:
    from tests.daemon_process import DaemonProcess

__all__ = ["listener"]  # fixtures

BOUND_S = 30.0


def held(client: Client) -> list[int]:
    return [sock.fd for sock in client.sockets.list()]


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
