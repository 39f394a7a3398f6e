"""Questions to NETLINK_SOCK_DIAG: recorded answers, and real sockets beside ``ss`` and /proc/net."""

from __future__ import annotations

import errno
import os
import re
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.kernel import facts, inet_diag, netlink, sock_diag, tcp_info

MPTCP = 262
LISTENING = 1 << tcp_info.LISTEN
NO_INODE = 4_294_967_294
ANY = "0.0.0.0"


def answer(datagram):
    ((_, _, payload),) = netlink.messages(datagram)
    return payload


@pytest.fixture
def unix_listener(stack):
    sock = stack.enter_context(socket.socket(socket.AF_UNIX))
    sock.bind("")  # the kernel picks an abstract name
    sock.listen(9)
    return sock


def unix_queue(sock):
    return sock_diag.unix_listener_queue(facts.inode(sock.fileno()), facts.cookie(sock.fileno()))


def mine(sock, protocol=socket.IPPROTO_TCP, states=sock_diag.ALL_STATES):
    inode = facts.inode(sock.fileno())
    (found,) = [each for each in sock_diag.inet_sockets(sock.family, protocol, states) if each.inode == inode]
    return found


@pytest.mark.parametrize("length", [0, 15])
def test_too_short_unix_answer_is_a_value_error(recorded, length):
    with pytest.raises(ValueError, match="unix_diag_msg"):
        sock_diag.decode_unix(answer(recorded("netlink-unix-listener"))[:length])


@pytest.mark.parametrize("length", [0, 71])
def test_too_short_inet_answer_is_a_value_error(recorded, length):
    with pytest.raises(ValueError, match="inet_diag_msg"):
        inet_diag.decode(recorded("inet_diag-tcp4-listen")[:length], socket.IPPROTO_TCP)


def test_answer_of_another_family_is_a_value_error(recorded):
    raw = bytes([socket.AF_VSOCK]) + recorded("inet_diag-tcp4-listen")[1:]
    with pytest.raises(ValueError, match="family 40"):
        inet_diag.decode(raw, socket.IPPROTO_TCP)


def test_recorded_unix_answers_hold_queue_and_peer(recorded):
    assert sock_diag.decode_unix(answer(recorded("netlink-unix-listener")))[4] == bytes(
        [4, 0, 0, 0, 9, 0, 0, 0]
    )
    assert sock_diag.decode_unix(answer(recorded("netlink-unix-peer")))[2] == (78_498).to_bytes(4, "little")


def test_recorded_listener_is_read(recorded):
    found = inet_diag.decode(recorded("inet_diag-tcp4-listen"), socket.IPPROTO_TCP)
    assert (found.family, found.protocol, found.state_name) == (socket.AF_INET, socket.IPPROTO_TCP, "LISTEN")
    assert (found.local, found.peer) == (("127.0.0.1", 45_001), (ANY, 0))
    assert (found.rqueue, found.wqueue, found.inode, found.uid) == (3, 7, 78_474, 0)
    assert (found.timer, found.shutdown, found.mark, found.is_v6only) == ("off", 0, 0, None)
    assert found.memory == facts.Memory(0, 40_000, 0, 16_384, 0, 0, 0, 0, 0)


def test_recorded_udp6_socket_is_read(recorded):
    found = inet_diag.decode(recorded("inet_diag-udp6-connected"), socket.IPPROTO_UDP)
    assert (found.local, found.peer) == (("::1", 45_003), ("::1", 45_004))
    assert (found.state_name, found.inode, found.cookie) == ("ESTABLISHED", 78_488, 30)


@given(st.binary(max_size=200))
def test_any_answer_is_a_record_or_a_value_error(raw):
    for decode in (lambda payload: inet_diag.decode(payload, 6), sock_diag.decode_unix):
        try:
            assert decode(raw) is not None
        except ValueError:
            continue


@given(st.binary(max_size=140))
def test_any_attributes_behind_a_good_answer_are_a_record_or_a_value_error(raw):
    fixed = bytes([socket.AF_INET6, 1, 200, 0]) + bytes(68)
    try:
        found = inet_diag.decode(fixed + raw, 6)
    except ValueError:
        return
    assert (found.local, found.timer) == (("::", 0), "200")


def test_queue_of_an_unknown_inode_is_enoent():
    with pytest.raises(FileNotFoundError):
        sock_diag.unix_listener_queue(NO_INODE, 1)
    with pytest.raises(FileNotFoundError):
        sock_diag.unix_peer_inode(NO_INODE)


def test_queue_of_a_socket_with_another_cookie_is_estale(unix_listener):
    with pytest.raises(OSError, match="Stale") as caught:
        sock_diag.unix_listener_queue(facts.inode(unix_listener.fileno()), 1 << 40 | 1)
    assert caught.value.errno == errno.ESTALE


def test_unix_queue_counts_the_waiting_connections(stack, unix_listener):
    assert unix_queue(unix_listener) == (0, 9)
    for waiting in (1, 2, 3):
        stack.enter_context(socket.socket(socket.AF_UNIX)).connect(unix_listener.getsockname())
        assert unix_queue(unix_listener) == (waiting, 9)
    unix_listener.accept()[0].close()
    assert unix_queue(unix_listener) == (2, 9)


@pytest.mark.needs("ss")
def test_unix_queue_agrees_with_ss(stack, unix_listener, ss):
    stack.enter_context(socket.socket(socket.AF_UNIX)).connect(unix_listener.getsockname())
    inode = facts.inode(unix_listener.fileno())
    (line,) = [line for line in ss("--unix", "--listening") if f" {inode} " in line]
    assert tuple(map(int, line.split()[2:4])) == unix_queue(unix_listener) == (1, 9)


def test_peer_of_a_pair_is_the_other_end(stack):
    near, far = socket.socketpair()
    stack.enter_context(near)
    stack.enter_context(far)
    assert sock_diag.unix_peer_inode(facts.inode(near.fileno())) == facts.inode(far.fileno())


def test_nobody_is_the_peer_before_connect_and_before_accept(stack, unix_listener):
    sock = stack.enter_context(socket.socket(socket.AF_UNIX))
    assert sock_diag.unix_peer_inode(facts.inode(sock.fileno())) is None
    sock.connect(unix_listener.getsockname())
    assert sock_diag.unix_peer_inode(facts.inode(sock.fileno())) is None
    accepted = stack.enter_context(unix_listener.accept()[0])
    assert sock_diag.unix_peer_inode(facts.inode(sock.fileno())) == facts.inode(accepted.fileno())


def test_dump_shows_a_connection_as_getsockopt_does(connection):
    near, far = connection
    far.sendall(b"unread")
    assert near.recv(6, socket.MSG_PEEK | socket.MSG_WAITALL) == b"unread"
    found = mine(near)
    assert (found.local, found.peer) == (near.getsockname(), near.getpeername())
    assert (found.state_name, found.rqueue, found.uid) == ("ESTABLISHED", 6, os.geteuid())
    assert found.cookie == facts.cookie(near.fileno())
    assert found.memory == facts.memory(near.fileno())


def test_dump_shows_what_was_shut_down(connection):
    near, _ = connection
    near.shutdown(socket.SHUT_WR)
    assert mine(near).shutdown == 0b10


@pytest.mark.usefixtures("connection")
def test_dump_keeps_to_the_states_asked_for(listener):
    states = {
        each.state_name for each in sock_diag.inet_sockets(socket.AF_INET, socket.IPPROTO_TCP, LISTENING)
    }
    assert states == {"LISTEN"}
    assert mine(listener, states=LISTENING).wqueue == 7


def test_dump_of_mptcp_goes_by_its_wide_protocol_number(stack):
    try:
        sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP))
    except OSError as error:
        pytest.skip(f"this kernel makes no MPTCP socket: {error}")
    sock.bind(("127.0.0.1", 0))
    sock.listen(5)
    assert mine(sock, MPTCP).local == sock.getsockname()
    expected = (facts.inode(sock.fileno()), os.geteuid())
    assert sock_diag.owner_of(socket.AF_INET, socket.IPPROTO_TCP, *sock.getsockname()) == expected
    assert sock_diag.owner_of(socket.AF_INET, MPTCP, *sock.getsockname()) == expected


def test_dump_of_a_protocol_nobody_can_diagnose_is_an_oserror():
    with pytest.raises(OSError, match=r"\[Errno"):
        sock_diag.inet_sockets(socket.AF_INET, 254)


@pytest.mark.usefixtures("connection")
def test_dump_left_half_way_leaves_nothing_open():
    """The leak gate of tests/conftest.py is what this test is for."""
    found = sock_diag.inet_sockets(socket.AF_INET, socket.IPPROTO_TCP)
    assert next(found).family == socket.AF_INET


def test_dump_of_many_datagrams_is_whole(stack):
    held = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(600)]
    for sock in held:
        sock.bind(("127.0.0.1", 0))
    found = {each.inode for each in sock_diag.inet_sockets(socket.AF_INET, socket.IPPROTO_UDP)}
    assert {facts.inode(sock.fileno()) for sock in held} <= found


def test_recorded_answer_tells_the_file_of_a_bound_unix_socket(recorded):
    payload = answer(recorded("netlink-unix-file"))
    assert sock_diag.file_inode(payload) == 2_203_710
    assert sock_diag.file_inode(answer(recorded("netlink-unix-peer"))) is None


def test_too_short_file_of_a_unix_socket_is_a_value_error(recorded):
    head = answer(recorded("netlink-unix-file"))[:16]
    with pytest.raises(ValueError, match="UNIX_DIAG_VFS"):
        sock_diag.file_inode(head + netlink.attribute(1, b"\1\2"))


def test_a_socket_file_is_bound_as_long_as_its_socket_is_there(tmp_path):
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        assert sock_diag.is_unix_file_bound(path.stat().st_ino)
    assert not sock_diag.is_unix_file_bound(path.stat().st_ino)


@pytest.mark.needs("ss")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_listeners_agree_with_ss(stack, ss, family):
    loopback = "127.0.0.1" if family == socket.AF_INET else "::1"
    sock = stack.enter_context(socket.create_server((loopback, 0), family=family, backlog=11))
    stack.enter_context(socket.create_connection(sock.getsockname()[:2]))
    version = "--ipv4" if family == socket.AF_INET else "--ipv6"
    (line,) = ss(version, "--tcp", "--listening", "--extended", f"sport = {sock.getsockname()[1]}")
    found = mine(sock)
    assert line.split()[:3] == ["LISTEN", str(found.rqueue), str(found.wqueue)] == ["LISTEN", "1", "11"]
    assert int(re.search(r"ino:(\d+)", line)[1]) == found.inode
    assert int(re.search(r"sk:([0-9a-f]+)", line)[1], 16) == found.cookie


def test_bound_udp_sockets_agree_with_proc_net(stack):
    sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.bind(("127.0.0.1", 0))
    found = mine(sock, socket.IPPROTO_UDP)
    lines = Path("/proc/net/udp").read_text(encoding="ascii").splitlines()
    (columns,) = [line.split() for line in lines if f" {found.inode} " in line]
    assert int(columns[1].split(":")[1], 16) == found.local[1]
    assert (int(columns[3], 16), int(columns[7])) == (found.state, found.uid)
