"""Peer credentials: recorded lengths, refusals, and those of real processes."""

from __future__ import annotations

import errno
import os
import pwd
import socket
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.kernel import ucred


@pytest.fixture
def pair(stack):
    near, far = socket.socketpair()
    stack.enter_context(near)
    stack.enter_context(far)
    return near, far


@pytest.mark.parametrize("length", [0, 8, 11, 13])
def test_credentials_of_another_length_are_a_value_error(length):
    with pytest.raises(ValueError, match=f"{length} bytes"):
        ucred.decode(bytes(length))


def test_nobody_is_enotconn_and_never_a_user():
    with pytest.raises(OSError, match="not connected") as caught:
        ucred.decode(struct.pack("=iii", 0, -1, -1))
    assert caught.value.errno == errno.ENOTCONN


def test_tcp_has_no_peer_credentials(connection):
    with pytest.raises(OSError, match="not connected"):
        ucred.peer(connection[0].fileno())


def test_unconnected_unix_socket_has_no_peer_credentials(stack):
    sock = stack.enter_context(socket.socket(socket.AF_UNIX))
    with pytest.raises(OSError, match="not connected"):
        ucred.peer(sock.fileno())
    with pytest.raises(OSError, match="No data") as caught:
        ucred.peer_groups(sock.fileno())
    assert caught.value.errno == errno.ENODATA


def test_peer_of_our_own_pair_is_this_process(pair):
    assert ucred.peer(pair[0].fileno()) == ucred.Ucred(os.getpid(), os.geteuid(), os.getegid())
    assert set(ucred.peer_groups(pair[0].fileno())) == set(os.getgroups())


@given(st.binary(max_size=64))
def test_any_bytes_are_groups_or_a_value_error(raw):
    if len(raw) % 4:
        with pytest.raises(ValueError, match="whole number"):
            ucred.decode_groups(raw)
    else:
        assert struct.pack(f"={len(raw) // 4}I", *ucred.decode_groups(raw)) == raw


def test_user_without_a_name_has_just_its_group():
    unnamed = 3_999_999_999
    assert ucred.groups(unnamed, 4711) == (4711,)


def test_groups_are_those_of_the_user_database():
    me = pwd.getpwuid(os.geteuid())
    assert ucred.groups(me.pw_uid, me.pw_gid) == tuple(os.getgrouplist(me.pw_name, me.pw_gid))


CONNECT_AS = """
import os, socket, sys
os.setgroups([int(gid) for gid in sys.argv[2].split(",")])
os.setresgid(4712, 4712, 4712)
os.setresuid(4711, 4711, 4711)
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[1])
    sock.recv(1)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
@pytest.mark.parametrize(("count", "expected"), [(3, (5000, 5001, 5002)), (300, (4712,))])
def test_peer_of_another_process_is_who_it_was_when_it_connected(stack, count, expected):
    """Of 300 groups getsockopt can hand over 256 at most: the user is looked up, and has no name."""
    server = stack.enter_context(socket.socket(socket.AF_UNIX))
    address = f"\0socketd-ucred-{os.getpid()}-{count}"
    server.bind(address)
    server.listen()
    server.settimeout(30)
    groups = ",".join(str(5000 + number) for number in range(count))
    # "@" for the NUL of an abstract address, which no argument can hold.
    script = CONNECT_AS.replace("sys.argv[1]", 'sys.argv[1].replace("@", chr(0), 1)')
    child = stack.enter_context(
        subprocess.Popen([sys.executable, "-c", script, "@" + address[1:], groups], stderr=subprocess.PIPE)
    )
    near = stack.enter_context(server.accept()[0])
    assert ucred.peer(near.fileno()) == ucred.Ucred(child.pid, 4711, 4712)
    assert ucred.peer_groups(near.fileno()) == expected
    near.sendall(b".")
    assert child.wait(30) == 0
