"""What is given to the table, what it forgets, and what is out in blocking mode."""

from __future__ import annotations

import os
import select
import socket

import pytest

from socketd.core import calls, connecting
from socketd.core.address_text import parse
from socketd.core.owner import Owner
from socketd.core.table import Origin
from socketd.errors import (
    AlreadyHeldError,
    BusyError,
    ClosedMeanwhileError,
    KernelRefusedError,
    NameTakenError,
    OutOfDescriptorsError,
    UnknownSocketError,
)
from socketd.service import Limits
from tests.held import FIRST, ROOT, Held, specification

KINDS = {
    "pipe": lambda: _one_of(os.pipe()),
    "file": lambda: os.open("/dev/null", os.O_RDONLY),
    "epoll": lambda: _detached(select.epoll()),
    "memfd": lambda: os.memfd_create("x"),
    "pidfd": lambda: os.pidfd_open(os.getpid()),
    "eventfd": lambda: os.eventfd(0),
    "folder": lambda: os.open("/", os.O_RDONLY),
    "path": lambda: os.open("/", os.O_PATH),
}


def _one_of(ends):
    os.close(ends[1])
    return ends[0]


def _detached(poll):
    with poll:
        return os.dup(poll.fileno())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_socket_is_enotsock_and_closed(held: Held, kind):
    fd = KINDS[kind]()
    with pytest.raises(KernelRefusedError) as caught:
        held.table.adopt(fd, Origin(Owner(ROOT)))
    assert caught.value.symbol in ("ENOTSOCK", "EBADF")  # O_PATH descriptors have no operations at all
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_duplicate_of_a_held_socket_is_eexist_and_closed(held: Held):
    entry = held.listener()
    copy = os.dup(entry.fd)
    with pytest.raises(AlreadyHeldError) as caught:
        held.table.adopt(copy, Origin(Owner(ROOT)))
    assert (caught.value.symbol, caught.value.subject) == ("EEXIST", entry.reference)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(copy)


def test_taken_name_closes_what_was_given(held: Held):
    held.tcp(name="web")
    given = socket.socket().detach()
    with pytest.raises(NameTakenError):
        held.table.adopt(given, Origin(Owner(ROOT), "web"))
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(given)


def test_no_number_left_closes_what_was_given():
    held = Held(limits=Limits(descriptors=FIRST + 1))
    try:
        held.tcp()
        given = socket.socket().detach()
        with pytest.raises(OutOfDescriptorsError):
            held.table.adopt(given, Origin(Owner(ROOT)))
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(given)
    finally:
        held.service.close()


def test_given_socket_is_held_as_if_made_here(held: Held):
    with socket.create_server(("127.0.0.1", 0)) as mine:
        entry = held.table.adopt(os.dup(mine.fileno()), Origin(Owner(ROOT), "web"))
        assert held.table.find("web") is entry
        assert (entry.family, entry.type, entry.protocol) == (socket.AF_INET, socket.SOCK_STREAM, 6)
        assert entry.fd >= FIRST
        assert not os.get_inheritable(entry.fd)
        assert entry.socket_file is None


def test_closed_socket_can_be_given_again(held: Held):
    with socket.socket() as mine:
        first = held.table.adopt(os.dup(mine.fileno()), Origin(Owner(ROOT)))
        held.table.close(first)
        second = held.table.adopt(os.dup(mine.fileno()), Origin(Owner(ROOT)))
        assert second.cookie == first.cookie


def test_forgetting_leaves_the_socket_file_and_the_connection(held: Held, tmp_path):
    path = tmp_path / "x.sock"
    entry = held.service.sockets.create(
        held.call(), specification(bind=str(path), backlog=4), Origin(Owner(ROOT), "x"), 1.0
    )
    copy = socket.socket(fileno=os.dup(entry.fd))
    with copy:
        held.table.forget(entry)
        with pytest.raises(UnknownSocketError):
            held.table.find("x")
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))
    assert path.exists()
    with pytest.raises(ClosedMeanwhileError):
        held.table.forget(entry)


def test_closed_socket_is_not_lent(held: Held):
    open_one, closed = held.tcp(), held.tcp()
    held.table.close(closed)
    with pytest.raises(ClosedMeanwhileError), held.table.lent([open_one, closed]):
        pytest.fail("lent")


def test_accept_from_a_listener_that_is_out_blocking_is_ebusy(held: Held):
    listener = held.listener()
    listener.is_blocking = True
    os.set_blocking(listener.fd, True)
    with pytest.raises(BusyError) as caught:
        calls.accept(held.table, listener, Origin(Owner(ROOT)), held.patience(0))
    assert caught.value.symbol == "EBUSY"
    assert os.get_blocking(listener.fd)  # as its taker wants it


def test_accept_that_waits_ends_when_its_listener_goes_out_blocking(held: Held, threads):
    listener = held.listener()
    waiting = threads.submit(calls.accept, held.table, listener, Origin(Owner(ROOT)), held.patience())
    held.waiter.await_waiting()
    listener.is_blocking = True
    with socket.create_connection(listener.sock.getsockname()), pytest.raises(BusyError):
        waiting.result(10)


def test_connect_of_a_socket_that_is_out_blocking_is_ebusy(held: Held):
    sock, listener = held.tcp(), held.listener()
    sock.is_blocking = True
    port = listener.sock.getsockname()[1]
    with pytest.raises(BusyError):
        connecting.connect(sock, parse(f"127.0.0.1:{port}"), held.patience())
