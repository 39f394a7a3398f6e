"""A descriptor of a real other process: refusals, and a duplicate."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys

import pytest

from socketd.kernel import pidfd

CHILD = """
import socket, sys
sock = socket.create_server(("127.0.0.1", 0))
print(sock.fileno(), sock.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        yield process
        process.stdin.close()


def test_process_that_ended_is_esrch():
    with subprocess.Popen(["true"]) as process:
        process.wait()
    with pytest.raises(ProcessLookupError):
        pidfd.duplicate(process.pid, 0)


def test_descriptor_it_has_not_is_ebadf(child):
    with pytest.raises(OSError, match="Bad file") as caught:
        pidfd.duplicate(child.pid, 4000)
    assert caught.value.errno == errno.EBADF


def test_duplicate_is_the_same_socket_and_close_on_exec(child):
    number, port = map(int, child.stdout.readline().split())
    found = pidfd.duplicate(child.pid, number)
    with socket.socket(fileno=found) as sock:
        assert sock.getsockname() == ("127.0.0.1", port)
        assert not os.get_inheritable(found)
    with socket.create_connection(("127.0.0.1", port)):
        pass
