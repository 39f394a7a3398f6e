"""Facts of single sockets, beside ``os``, ``ss`` and a patched ``select``."""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.kernel import facts, sockopt

NOT_OPEN = 900_000


def test_option_of_a_number_that_is_not_open_is_ebadf():
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        sockopt.get(NOT_OPEN, socket.SOL_SOCKET, socket.SO_TYPE, 4)
    assert caught.value.errno == errno.EBADF


def test_option_of_a_pipe_is_enotsock():
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError, match="non-socket") as caught:
            facts.cookie(reader)
        assert caught.value.errno == errno.ENOTSOCK
        os.write(writer, b"still open")
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("is_blocking", [True, False])
def test_asking_leaves_the_descriptor_open_and_as_it_was(listener, is_blocking):
    listener.setblocking(is_blocking)
    facts.cookie(listener.fileno())
    assert os.get_blocking(listener.fileno()) is is_blocking


def test_inode_is_the_one_in_proc(listener):
    link = Path(f"/proc/self/fd/{listener.fileno()}").readlink()
    assert str(link) == f"socket:[{facts.inode(listener.fileno())}]"


def test_duplicate_has_the_same_cookie_and_another_socket_has_not(stack, listener):
    duplicate = stack.enter_context(listener.dup())
    other = stack.enter_context(socket.socket())
    assert facts.cookie(duplicate.fileno()) == facts.cookie(listener.fileno())
    assert facts.cookie(other.fileno()) != facts.cookie(listener.fileno())


@pytest.mark.needs("ss")
def test_cookie_inode_and_memory_are_those_of_ss(connection, ss):
    near, far = connection
    far.sendall(b"unread")
    assert near.recv(6, socket.MSG_PEEK) == b"unread"
    (line,) = ss("--tcp", "--extended", "--memory", f"sport = {near.getsockname()[1]}")
    memory = facts.memory(near.fileno())
    assert f"ino:{facts.inode(near.fileno())} " in line
    assert re.search(r"sk:([0-9a-f]+)", line)[1] == f"{facts.cookie(near.fileno()):x}"
    assert (
        f"skmem:(r{memory.rmem_alloc_bytes},rb{memory.rcvbuf_bytes},t{memory.wmem_alloc_bytes},"
        f"tb{memory.sndbuf_bytes},f{memory.fwd_alloc_bytes},w{memory.wmem_queued_bytes},"
        f"o{memory.optmem_bytes},bl{memory.backlog_bytes},d{memory.drops})"
    ) in line
    assert memory.rmem_alloc_bytes > 0


def test_queues_count_unread_bytes(connection):
    near, far = connection
    far.sendall(b"seven b")
    assert near.recv(7, socket.MSG_PEEK | socket.MSG_WAITALL) == b"seven b"
    assert facts.queues(near.fileno()).unread_bytes == 7


def test_queues_count_what_the_peer_did_not_take(stack):
    near, far = socket.socketpair()
    stack.enter_context(near)
    stack.enter_context(far)
    near.sendall(b"x" * 100)
    assert facts.queues(far.fileno()).unread_bytes == 100
    assert facts.queues(near.fileno()).unsent_bytes >= 100


def test_datagram_queue_is_the_first_datagram(stack):
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    stack.enter_context(near)
    stack.enter_context(far)
    near.send(b"one")
    near.send(b"and two")
    assert facts.queues(far.fileno()).unread_bytes == 3


def test_listening_tcp_and_netlink_have_no_queues(stack, listener):
    netlink = stack.enter_context(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
    assert facts.queues(listener.fileno()) == facts.Queues(None, None)
    assert facts.queues(netlink.fileno()) == facts.Queues(None, None)


def test_queues_of_a_number_that_is_not_open_are_ebadf():
    with pytest.raises(OSError, match="Bad file descriptor"):
        facts.queues(NOT_OPEN)


def test_recorded_memory_says_what_ss_said(recorded):
    assert facts.decode_memory(recorded("meminfo-unread")) == facts.Memory(
        2066, 131_072, 0, 3_939_840, 2030, 0, 0, 0, 0
    )


def test_too_short_memory_is_a_value_error(recorded):
    with pytest.raises(ValueError, match="35 bytes"):
        facts.decode_memory(recorded("meminfo-unread")[:-1])


@given(st.binary(min_size=36, max_size=64))
def test_any_memory_of_full_length_is_a_record(raw):
    assert facts.decode_memory(raw).rmem_alloc_bytes == int.from_bytes(raw[:4], sys.byteorder)


def test_readiness_follows_a_connection(stack, listener):
    assert facts.readiness(listener.fileno()) == 0
    near = stack.enter_context(socket.create_connection(listener.getsockname()))
    assert facts.readiness(listener.fileno()) == select.POLLIN
    far = stack.enter_context(listener.accept()[0])
    assert facts.readiness(near.fileno()) == select.POLLOUT
    far.shutdown(socket.SHUT_WR)
    assert near.recv(1) == b""
    assert facts.readiness(near.fileno()) == select.POLLIN | select.POLLOUT | select.POLLRDHUP


def test_readiness_says_what_hung_up(stack):
    unbound = stack.enter_context(socket.socket())
    assert facts.readiness(unbound.fileno()) == select.POLLOUT | select.POLLHUP
    assert facts.readiness(NOT_OPEN) == select.POLLNVAL


UNDER_GEVENT = """
import gevent.monkey
gevent.monkey.patch_all()
import select, socket
import gevent
from socketd.kernel import facts
assert select.poll.__module__.startswith("gevent")
others = []
gevent.spawn(others.append, "ran")
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(facts.readiness(listener.fileno()), facts.cookie(listener.fileno()) > 0, others)
"""


def test_no_greenlet_runs_meanwhile_once_gevent_has_patched_select():
    answer = subprocess.run(
        [sys.executable, "-c", UNDER_GEVENT],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert answer.stdout == "0 True []\n"
