"""connect waits until it is known how it ended, and leaves a socket that can be connected anew."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from socketd.core import connecting
from socketd.core.address import UNSPEC, Address, unix_abstract, unix_path
from socketd.errors import ClientGoneError, ClosedMeanwhileError, KernelRefusedError, WaitTimeoutError
from tests.held import specification
from tests.ports import free_port
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from tests.held import Held


@pytest.fixture
def full() -> Iterator[socket.socket]:
    """Listen with a full queue: the next SYN is dropped, and sent again after a second."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        opened.enter_context(socket.create_connection(listener.getsockname()))
        yield listener


@pytest.fixture
def full_unix() -> Iterator[socket.socket]:
    """Listen on an abstract name with a full queue: a non-blocking connect answers EAGAIN."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind("")
        listener.listen(0)
        opened.enter_context(socket.socket(socket.AF_UNIX)).connect(listener.getsockname())
        yield listener


def address_of(sock: socket.socket) -> Address:
    return Address(sock.family, sock.getsockname())


def test_a_port_where_nobody_listens_is_econnrefused(held: Held):
    with pytest.raises(KernelRefusedError) as caught:
        connecting.connect(held.tcp(), Address(socket.AF_INET, ("127.0.0.1", free_port())), held.patience())
    assert (caught.value.symbol, caught.value.syscall) == ("ECONNREFUSED", "connect")
    assert caught.value.hint == "nobody listens at that address"


def test_a_path_where_nothing_is_is_enoent(held: Held, tmp_path: Path):
    entry = held.make(specification(socket.AF_UNIX))
    with pytest.raises(KernelRefusedError) as caught:
        connecting.connect(entry, unix_path(str(tmp_path / "none")), held.patience())
    assert caught.value.symbol == "ENOENT"


def test_a_socket_of_another_type_is_eprototype(held: Held, tmp_path: Path):
    path = str(tmp_path / "x.sock")
    held.make(specification(bind=path, backlog=1))
    entry = held.make(specification(socket.AF_UNIX, socket.SOCK_DGRAM))
    with pytest.raises(KernelRefusedError) as caught:
        connecting.connect(entry, unix_path(path), held.patience())
    assert caught.value.symbol == "EPROTOTYPE"


def test_connect_twice_is_eisconn(held: Held):
    near, far = held.connection()
    with pytest.raises(KernelRefusedError) as caught:
        connecting.connect(near, Address(socket.AF_INET, far.sock.getsockname()), held.patience())
    assert caught.value.symbol == "EISCONN"


def test_connect_on_a_closed_socket_is_closed_meanwhile(held: Held):
    entry = held.tcp()
    held.table.close(entry)
    with pytest.raises(ClosedMeanwhileError):
        connecting.connect(entry, Address(socket.AF_INET, ("127.0.0.1", 1)), held.patience())


def test_without_patience_it_is_einprogress_and_then_ealready(held: Held, full: socket.socket):
    entry = held.tcp()
    for symbol in ("EINPROGRESS", "EALREADY"):
        with pytest.raises(KernelRefusedError) as caught:
            connecting.connect(entry, address_of(full), held.patience(0))
        assert caught.value.symbol == symbol


def test_when_the_time_is_over_the_connection_goes_on_being_made(held: Held, full: socket.socket):
    entry = held.tcp()
    with pytest.raises(WaitTimeoutError):
        connecting.connect(entry, address_of(full), held.patience(0.01))
    with pytest.raises(KernelRefusedError) as caught:
        connecting.connect(entry, address_of(full), held.patience(0))
    assert caught.value.symbol == "EALREADY"


def test_closing_ends_a_connect_that_waits(held: Held, full: socket.socket, threads: ThreadPoolExecutor):
    entry = held.tcp()
    waiting = threads.submit(connecting.connect, entry, address_of(full), held.patience())
    held.waiter.await_waiting()
    held.table.close(entry)
    with pytest.raises(ClosedMeanwhileError):
        waiting.result()


def test_a_client_that_goes_ends_a_connect_that_waits(
    held: Held, full: socket.socket, threads: ThreadPoolExecutor
):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        waiter = PollWaiter(ours.fileno())
        waiting = threads.submit(
            connecting.connect, held.tcp(), address_of(full), held.patience(10.0, waiter)
        )
        waiter.await_waiting()
        theirs.close()
        with pytest.raises(ClientGoneError):
            waiting.result()


def test_a_connection_that_takes_its_time_is_made(
    held: Held, full: socket.socket, threads: ThreadPoolExecutor
):
    entry = held.tcp()
    waiting = threads.submit(connecting.connect, entry, address_of(full), held.patience())
    held.waiter.await_waiting()
    full.accept()[0].close()
    waiting.result()  # with the SYN that is sent again after a second
    assert entry.sock.getpeername() == full.getsockname()
    with pytest.raises(KernelRefusedError) as caught:
        connecting.connect(entry, address_of(full), held.patience())
    assert caught.value.symbol == "EISCONN"


def test_a_refusal_that_takes_its_time_leaves_a_socket_that_can_be_connected(
    held: Held, full: socket.socket, threads: ThreadPoolExecutor
):
    entry, listener = held.tcp(), held.listener()
    waiting = threads.submit(connecting.connect, entry, address_of(full), held.patience())
    held.waiter.await_waiting()
    full.close()
    with pytest.raises(KernelRefusedError) as caught:
        waiting.result()
    assert caught.value.symbol == "ECONNREFUSED"
    connecting.connect(entry, Address(socket.AF_INET, listener.sock.getsockname()), held.patience())


def test_connect_does_not_block_though_a_duplicate_was_made_blocking(held: Held, full: socket.socket):
    entry = held.tcp()
    duplicate = os.dup(entry.fd)
    try:
        os.set_blocking(duplicate, True)
        with pytest.raises(KernelRefusedError) as caught:
            connecting.connect(entry, address_of(full), held.patience(0))
        assert caught.value.symbol == "EINPROGRESS"
    finally:
        os.close(duplicate)


def test_a_full_unix_listener_without_patience_is_eagain(held: Held, full_unix: socket.socket):
    with pytest.raises(KernelRefusedError) as caught:
        connecting.connect(held.make(specification(socket.AF_UNIX)), address_of(full_unix), held.patience(0))
    assert caught.value.symbol == "EAGAIN"


def test_a_full_unix_listener_times_out(held: Held, full_unix: socket.socket):
    entry = held.make(specification(socket.AF_UNIX))
    with pytest.raises(WaitTimeoutError):
        connecting.connect(entry, address_of(full_unix), held.patience(0.02))
    assert not entry.watchers


def test_a_full_unix_listener_is_asked_again_until_it_has_room(
    held: Held, full_unix: socket.socket, threads: ThreadPoolExecutor
):
    entry = held.make(specification(socket.AF_UNIX))
    waiting = threads.submit(connecting.connect, entry, address_of(full_unix), held.patience())
    full_unix.accept()[0].close()
    waiting.result()
    assert entry.sock.getpeername() == full_unix.getsockname()


def test_closing_ends_a_connect_to_a_full_unix_listener(
    held: Held, full_unix: socket.socket, threads: ThreadPoolExecutor
):
    entry = held.make(specification(socket.AF_UNIX))
    waiting = threads.submit(connecting.connect, entry, address_of(full_unix), held.patience())
    while not entry.watchers and not waiting.done():
        pass
    held.table.close(entry)
    with pytest.raises(ClosedMeanwhileError):
        waiting.result()


def test_a_stream_has_no_association_to_dissolve(held: Held):
    near, _far = held.pair()
    with pytest.raises(KernelRefusedError) as caught:
        connecting.connect(near, UNSPEC, held.patience())
    assert (caught.value.symbol, caught.value.syscall) == ("EINVAL", "connect")


def test_the_association_of_a_udp_socket_is_dissolved(held: Held):
    entry, other = held.udp(), held.udp()
    connecting.connect(entry, Address(socket.AF_INET, other.sock.getsockname()), held.patience())
    assert entry.sock.getpeername() == other.sock.getsockname()
    connecting.connect(entry, UNSPEC, held.patience())
    with pytest.raises(OSError, match="not connected"):
        entry.sock.getpeername()


def test_the_association_of_a_unix_datagram_socket_is_dissolved(held: Held):
    entry = held.make(specification(socket.AF_UNIX, socket.SOCK_DGRAM))
    held.make(specification(socket.AF_UNIX, socket.SOCK_DGRAM, bind="@socketd-test-dissolve"))
    connecting.connect(entry, unix_abstract("socketd-test-dissolve"), held.patience())
    connecting.connect(entry, UNSPEC, held.patience())
    with pytest.raises(OSError, match="not connected"):
        entry.sock.getpeername()
