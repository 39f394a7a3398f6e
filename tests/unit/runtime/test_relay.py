"""What children say to the service manager, passed on by the process that it listens to."""

from __future__ import annotations

import os
import signal
import socket
import struct
from contextlib import contextmanager

import pytest

from socketd.runtime.relay import relayed
from socketd.runtime.systemd import Notifier

UCRED = struct.Struct("=iII")


@pytest.fixture
def manager(tmp_path):
    """The socket of a service manager, which hears who sends."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        manager.settimeout(10)
        yield path, manager


def heard(manager):
    """Return one message and the process that sent it."""
    message, [(_, _, credentials)], _, _ = manager.recvmsg(4096, socket.CMSG_SPACE(UCRED.size))
    return message, UCRED.unpack(credentials)[0]


@contextmanager
def child(say):
    """Have a child process say something during the block."""
    pid = os.fork()
    if pid == 0:
        try:
            say()
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.waitpid(pid, 0)


def test_a_child_is_heard_as_its_parent(manager):
    path, channel = manager
    with relayed(Notifier(path, os.getpid())) as notifier:
        expected = f"READY=1\nMAINPID={os.getpid()}\nSTATUS=serving\n".encode()
        with child(lambda: notifier.ready("serving")):
            assert heard(channel) == (expected, os.getpid())


def test_messages_keep_their_order(manager):
    path, channel = manager
    with relayed(Notifier(path, os.getpid())) as notifier:

        def count():
            for number in range(8):
                while not said(number):
                    os.sched_yield()

        def said(number):
            try:
                return notifier.outward.send(b"%d" % number)
            except BlockingIOError:  # a Unix socket queues ten
                return 0

        with child(count):
            assert [heard(channel)[0] for _ in range(8)] == [b"%d" % number for number in range(8)]


def test_nobody_is_told_where_nobody_listens(caplog):
    with relayed(Notifier(None, os.getpid())) as notifier, child(lambda: notifier.ready("serving")):
        pass
    assert caplog.messages == []


def test_a_parent_that_is_gone_is_logged_and_no_error(manager, caplog):
    path, _ = manager
    with relayed(Notifier(path, os.getpid())) as notifier:
        pass
    notifier.alive()
    assert caplog.messages == []  # no watchdog, no word
    notifier.ready("serving")
    assert "passes nothing on" in caplog.text


def test_the_handler_that_was_there_is_back():
    before = signal.getsignal(signal.SIGIO)
    with relayed(Notifier(None, os.getpid())):
        assert signal.getsignal(signal.SIGIO) != before
    assert signal.getsignal(signal.SIGIO) == before
