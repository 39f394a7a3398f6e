"""bind, listen, accept and shutdown answer as the kernel does, with what can be done about it."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from socketd.core import calls
from socketd.core.address import Address, unix_abstract, unix_path, unix_unnamed
from socketd.core.owner import Owner
from socketd.core.table import Origin
from socketd.errors import KernelRefusedError, WaitTimeoutError, WouldBlockError
from tests.held import specification, where

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from tests.held import Held

ANYWHERE = Address(socket.AF_INET, ("127.0.0.1", 0))
ORIGIN = Origin(Owner(0))


def test_bind_to_a_taken_port_is_eaddrinuse(held: Held):
    taken = held.listener()
    with pytest.raises(KernelRefusedError) as caught:
        calls.bind(held.tcp().sock, Address(socket.AF_INET, taken.sock.getsockname()))
    assert (caught.value.symbol, caught.value.syscall) == ("EADDRINUSE", "bind")
    assert caught.value.hint


def test_bind_twice_is_einval(held: Held):
    entry = held.tcp()
    calls.bind(entry.sock, ANYWHERE)
    with pytest.raises(KernelRefusedError) as caught:
        calls.bind(entry.sock, ANYWHERE)
    assert caught.value.symbol == "EINVAL"


def test_bind_to_an_address_of_nobody_is_eaddrnotavail(held: Held):
    with pytest.raises(KernelRefusedError) as caught:
        calls.bind(held.tcp().sock, Address(socket.AF_INET, ("203.0.113.1", 0)))
    assert caught.value.symbol == "EADDRNOTAVAIL"


def test_bind_to_a_path_that_exists_is_eaddrinuse_and_leaves_the_file(held: Held, tmp_path: Path):
    path = tmp_path / "precious"
    path.write_text("mine")
    entry = held.make(specification(socket.AF_UNIX))
    with pytest.raises(KernelRefusedError) as caught:
        calls.bind(entry.sock, unix_path(str(path)))
    assert caught.value.symbol == "EADDRINUSE"
    assert path.read_text() == "mine"


def test_bind_to_a_path_makes_a_socket_file_and_tells_which(held: Held, tmp_path: Path):
    path = tmp_path / "x.sock"
    made = calls.bind(held.make(specification(socket.AF_UNIX)).sock, unix_path(str(path)))
    found = path.lstat()
    assert stat.S_ISSOCK(found.st_mode)
    assert made is not None
    assert (made.path, made.device, made.inode) == (str(path), found.st_dev, found.st_ino)


def test_bind_to_a_path_that_is_no_text_makes_a_socket_file(held: Held, tmp_path: Path):
    raw = os.fsencode(tmp_path) + b"/\xff.sock"
    made = calls.bind(held.make(specification(socket.AF_UNIX)).sock, unix_path(raw))
    assert made is not None
    made.remove()
    assert not os.path.lexists(raw)


@pytest.mark.parametrize("address", [unix_abstract("socketd-test-calls"), unix_unnamed()])
def test_bind_to_an_abstract_name_makes_no_file(held: Held, address: Address):
    entry = held.make(specification(socket.AF_UNIX))
    assert calls.bind(entry.sock, address) is None
    assert entry.sock.getsockname()[:1] == b"\0"


def test_a_socket_file_replaced_by_another_is_not_removed(held: Held, tmp_path: Path):
    path = tmp_path / "x.sock"
    made = calls.bind(held.make(specification(socket.AF_UNIX)).sock, unix_path(str(path)))
    kept = tmp_path / "kept"  # holds the inode, so that the next file cannot get the same
    path.rename(kept)
    path.write_text("somebody else's")
    assert made is not None
    made.remove()
    assert path.exists()


def test_listen_on_a_datagram_socket_is_eopnotsupp(held: Held):
    with pytest.raises(KernelRefusedError) as caught:
        calls.listen(held.udp().sock, 1)
    assert (caught.value.symbol, caught.value.syscall) == ("EOPNOTSUPP", "listen")


def test_accept_from_what_does_not_listen_is_einval_at_once(held: Held):
    with pytest.raises(KernelRefusedError) as caught:
        calls.accept(held.table, held.tcp(), ORIGIN, held.patience())
    assert (caught.value.symbol, caught.value.syscall) == ("EINVAL", "accept")


def test_accept_from_a_datagram_socket_is_eopnotsupp_at_once(held: Held):
    with pytest.raises(KernelRefusedError) as caught:
        calls.accept(held.table, held.udp(), ORIGIN, held.patience())
    assert caught.value.symbol == "EOPNOTSUPP"


def test_accept_without_patience_would_block(held: Held):
    with pytest.raises(WouldBlockError) as caught:
        calls.accept(held.table, held.listener(), ORIGIN, held.patience(0))
    assert (caught.value.symbol, caught.value.syscall) == ("EAGAIN", "accept")


def test_accept_in_vain_times_out(held: Held):
    with pytest.raises(WaitTimeoutError) as caught:
        calls.accept(held.table, held.listener(), ORIGIN, held.patience(0.01))
    assert caught.value.symbol == "ETIMEDOUT"


def test_accept_waits_for_a_connection(held: Held, threads: ThreadPoolExecutor):
    listener = held.listener()
    waiting = threads.submit(calls.accept, held.table, listener, ORIGIN, held.patience())
    held.waiter.await_waiting()
    with socket.create_connection(listener.sock.getsockname()) as client:
        assert waiting.result().sock.getpeername() == client.getsockname()


def test_accept_does_not_block_though_a_duplicate_was_made_blocking(held: Held):
    listener = held.listener()
    duplicate = os.dup(listener.fd)
    try:
        os.set_blocking(duplicate, True)
        with pytest.raises(WouldBlockError):
            calls.accept(held.table, listener, ORIGIN, held.patience(0))
    finally:
        os.close(duplicate)


def test_accept_waits_on_though_a_duplicate_takes_the_connection(held: Held, threads: ThreadPoolExecutor):
    listener = held.listener()
    with socket.socket(fileno=os.dup(listener.fd)) as duplicate:
        os.set_blocking(duplicate.fileno(), True)
        waiting = threads.submit(calls.accept, held.table, listener, ORIGIN, held.patience())
        held.waiter.await_waiting()
        os.set_blocking(duplicate.fileno(), True)
        with (
            socket.create_connection(listener.sock.getsockname()),
            socket.create_connection(listener.sock.getsockname()),
        ):
            other, _ = duplicate.accept()  # one goes here, one there, whoever is first
            other.close()
            assert waiting.result().accepted_from is None


def test_shutdown_of_what_is_not_connected_is_enotconn(held: Held):
    with pytest.raises(KernelRefusedError) as caught:
        calls.shutdown(held.tcp(), socket.SHUT_RDWR)
    assert (caught.value.symbol, caught.value.syscall) == ("ENOTCONN", "shutdown")


def test_shutdown_of_writing_ends_the_peers_reading(held: Held):
    near, far = held.connection()
    calls.shutdown(near, socket.SHUT_WR)
    assert far.sock.recv(1) == b""
    far.sock.send(b"still")
    assert near.sock.recv(9) == b"still"


def test_listen_on_an_unbound_port_binds_it(held: Held):
    entry = held.tcp()
    calls.listen(entry.sock, 1)
    assert where(entry).startswith("0.0.0.0:")
    assert entry.sock.getsockname()[1] > 0
