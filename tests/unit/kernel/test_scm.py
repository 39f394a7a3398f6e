"""Descriptors over real Unix sockets: what is refused and cut off first, then what arrives."""

from __future__ import annotations

import array
import errno
import os
import resource
import socket
import struct
from contextlib import contextmanager
from pathlib import Path

import pytest

from socketd.kernel import scm


def open_descriptors():
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


@pytest.fixture
def pair(stack):
    near, far = socket.socketpair()
    return stack.enter_context(near), stack.enter_context(far)


@contextmanager
def room_for(count):
    """Leave this process room for so many more descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open("/dev/null") as probe:  # noqa: PTH123 - the lowest free number is what is asked for
        lowest = probe.fileno()
    fillers = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 64, hard))
        while True:
            try:
                fillers.append(os.dup(0))
            except OSError:
                break
        for _ in range(count):
            os.close(fillers.pop())
        yield
    finally:
        scm.close(fillers)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_byte_carries_no_descriptor(pair):
    with pytest.raises(ValueError, match="need a byte"):
        scm.send(pair[0].fileno(), b"", [0])


def test_more_than_a_message_can_have_is_refused(pair):
    with pytest.raises(ValueError, match="254 descriptors"):
        scm.send(pair[0].fileno(), b"x", [0] * 254)


def test_descriptor_that_is_not_open_is_ebadf(pair):
    closed = os.dup(0)
    os.close(closed)
    with pytest.raises(OSError, match="Bad file") as caught:
        scm.send(pair[0].fileno(), b"x", [closed])
    assert caught.value.errno == errno.EBADF


def test_full_connection_would_block(pair):
    near, _ = pair

    def send_for_ever():
        while True:
            scm.send(near.fileno(), b"x", [0])

    with pytest.raises(BlockingIOError):
        send_for_ever()


def test_end_of_a_peer_is_epipe_without_a_signal(pair):
    near, far = pair
    far.close()
    with pytest.raises(BrokenPipeError):
        scm.send(near.fileno(), b"x", [0])


def test_nothing_there_would_block_although_the_socket_is_blocking(pair):
    with pytest.raises(BlockingIOError):
        scm.receive(pair[0].fileno(), 1)


def test_full_table_is_emfile_and_what_came_is_closed(pair):
    near, far = pair
    scm.send(near.fileno(), b"x", [0] * 5)
    before = open_descriptors()
    with room_for(3), pytest.raises(scm.TruncatedError) as caught:
        scm.receive(far.fileno(), 1)
    assert caught.value.errno == errno.EMFILE
    assert open_descriptors() == before


def test_peer_that_takes_none_makes_the_sender_fail(pair):
    near, far = pair
    scm.set_accepting(far.fileno(), is_accepting=False)
    try:
        sent = scm.send(near.fileno(), b"x", [0])
    except PermissionError:
        pass
    else:
        assert sent == 1, "a kernel before 6.16 lacks SO_PASSRIGHTS"
        scm.close(scm.receive(far.fileno(), 1).descriptors)
    scm.set_accepting(far.fileno(), is_accepting=True)
    assert scm.send(near.fileno(), b"y", [0]) == 1
    scm.close(scm.receive(far.fileno(), 1).descriptors)


def test_connection_takes_descriptors_or_not_as_its_listener_does(stack, tmp_path):
    path = str(tmp_path / "s")
    listener = stack.enter_context(socket.socket(socket.AF_UNIX))
    listener.bind(path)
    listener.listen()
    scm.set_accepting(listener.fileno(), is_accepting=False)
    near = stack.enter_context(socket.socket(socket.AF_UNIX))
    near.connect(path)
    far = stack.enter_context(listener.accept()[0])
    if not has_passrights(far):
        pytest.skip("this kernel has no SO_PASSRIGHTS")
    with pytest.raises(PermissionError):
        scm.send(near.fileno(), b"x", [0])
    assert scm.send(far.fileno(), b"x", [0]) == 1  # the other way is another socket's
    scm.close(scm.receive(near.fileno(), 1).descriptors)


def has_passrights(sock):
    try:
        sock.getsockopt(socket.SOL_SOCKET, 83)
    except OSError:
        return False
    return True


def test_end_of_the_peer_is_no_data(pair):
    near, far = pair
    near.close()
    assert scm.receive(far.fileno(), 10) == scm.Message(b"", ())


@pytest.mark.parametrize("count", [0, 1, 2, 253])
def test_descriptors_arrive_in_order_and_close_on_exec(pair, count):
    near, far = pair
    sent = []
    try:
        sent = [os.memfd_create(f"n{index}") for index in range(count)]
        assert scm.send(near.fileno(), b"ab", sent) == 2
        message = scm.receive(far.fileno(), 10)
        try:
            assert message.data == b"ab"
            links = [str(Path(f"/proc/self/fd/{fd}").readlink()) for fd in message.descriptors]
            assert links == [f"/memfd:n{index} (deleted)" for index in range(count)]
            assert not any(os.get_inheritable(fd) for fd in message.descriptors)
        finally:
            scm.close(message.descriptors)
    finally:
        scm.close(sent)


def test_descriptors_stay_with_their_byte(pair):
    near, far = pair
    near.send(b"before")
    scm.send(near.fileno(), b"x", [0])
    near.send(b"after")
    messages = [scm.receive(far.fileno(), 100) for _ in range(2)]
    scm.close(fd for message in messages for fd in message.descriptors)
    assert [(message.data, len(message.descriptors)) for message in messages] == [
        (b"beforex", 1),
        (b"after", 0),
    ]


def test_several_control_messages_are_one_set(pair):
    near, far = pair
    one = array.array("i", [0])
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, one)
    near.sendmsg([b"x"], [rights, rights])
    message = scm.receive(far.fileno(), 1)
    scm.close(message.descriptors)
    assert len(message.descriptors) == 2


def test_credentials_beside_them_are_ignored(pair):
    near, far = pair
    far.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    credentials = struct.pack("3i", os.getpid(), os.getuid(), os.getgid())
    near.sendmsg(
        [b"x"],
        [
            (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials),
            (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0])),
        ],
    )
    # Its room was meant for descriptors; with 253 of them the credentials would not fit, and that is told.
    message = scm.receive(far.fileno(), 1)
    scm.close(message.descriptors)
    assert len(message.descriptors) == 1


def test_neither_way_changes_the_blocking_mode_of_the_connection(pair):
    near, far = pair
    scm.send(near.fileno(), b"x", [0])
    scm.close(scm.receive(far.fileno(), 1).descriptors)
    assert os.get_blocking(near.fileno())
    assert os.get_blocking(far.fileno())
