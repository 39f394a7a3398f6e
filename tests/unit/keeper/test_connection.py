"""Who may be the daemon, and what ends a connection; what is held stays held."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from socketd.keeper import protocol
from socketd.keeper.notify import Supervisor
from socketd.keeper.packets import MOST_UNREAD
from socketd.keeper.protocol import Ack, Commit, Forget, Hello, Mode, Ping, Record, Store, Update
from tests.unit.keeper.conftest import Keeping
from tests.unit.keeper.parties import Daemon, fetched, has_ended, until

NOBODY = 65_534
STRANGER = """
import os, socket, sys
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
    sock.connect(sys.argv[1])
    sys.stdout.buffer.write(sock.recv(65536))
"""


def test_a_second_daemon_is_refused_while_the_first_is_there(connect, pair):
    first = connect()
    refused = connect(None).refusal()
    assert refused.errno == errno.EBUSY
    assert str(os.getpid()) in refused.text
    first.store(64, pair[0].fileno())


def test_a_second_daemon_takes_over_when_the_first_is_gone(keeper, connect, pair):
    first = connect()
    first.store(64, pair[0].fileno())
    first.close()
    assert fetched(keeper.path) == {64: b""}


def test_what_a_daemon_sent_before_it_died_counts(keeper, connect, pair):
    for turn in range(20):
        first = connect()
        numbers = range(turn * 50 + 1, turn * 50 + 51)
        for number in numbers:  # and it reads none of the answers
            first.say(Store(0, (Record(number, b"n"),)), [pair[0].fileno()])
        first.say(Store(1, (Record(9999, b""),)), [pair[0].fileno()])
        first.close()
        assert len(fetched(keeper.path)) == turn * 50 + 50


def test_a_daemon_that_dies_unread_and_unsaid_is_replaced(keeper, connect, pair):
    first = connect()
    for _ in range(MOST_UNREAD * 2):
        first.say(Ping())
    first.say(Store(0, (Record(64, b""),)), [pair[0].fileno()])
    first.close()
    assert fetched(keeper.path) == {64: b""}


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which is root's to do")
def test_another_user_is_refused(pair):
    with tempfile.TemporaryDirectory() as name:  # a folder of pytest's is in one that is closed to others
        folder = Path(name)
        folder.chmod(0o755)
        with closing(Keeping(folder, Supervisor(None, "systemd", 0, None))) as keeper:
            Path(keeper.path).chmod(0o666)
            asked = [sys.executable, "-c", STRANGER, keeper.path, str(NOBODY)]
            answer = subprocess.run(asked, stdout=subprocess.PIPE, check=True).stdout
            _, refused = protocol.from_keeper(answer)
            assert refused.errno == errno.EPERM
            assert str(NOBODY) in refused.text
            with Daemon(keeper.path) as daemon:
                daemon.store(64, pair[0].fileno())


def test_hello_comes_first(connect):
    daemon = connect(None)
    daemon.say(Ping())
    assert daemon.refusal().errno == errno.EPROTO


def test_hello_comes_once(connect):
    daemon = connect()
    daemon.say(Hello(1, Mode.RESUME))
    assert daemon.refusal().errno == errno.EPROTO


def test_another_version_is_refused(connect):
    daemon = connect(None)
    packet = bytearray(protocol.encode(Hello(1, Mode.FETCH), 1))
    packet[8] = 9
    daemon.send(bytes(packet))
    refused = daemon.refusal()
    assert refused.errno == errno.EPROTO
    assert "9" in refused.text


@pytest.mark.parametrize(
    "message", [Ping(), Ack(1), Commit(1), Forget((64,)), Update((Record(64, b"x"),))], ids=repr
)
def test_a_descriptor_too_many_ends_the_connection_and_is_closed(keeper, connect, pair, message):
    ours, theirs = pair
    daemon = connect()
    daemon.say(message, [ours.fileno()])
    ours.close()
    assert daemon.refusal().errno == errno.EPROTO
    until(lambda: has_ended(theirs), "the descriptor is closed")
    assert fetched(keeper.path) == {}


def test_a_descriptor_before_hello_is_closed(connect, pair):
    ours, theirs = pair
    daemon = connect(None)
    daemon.say(Store(0, (Record(64, b""),)), [ours.fileno()])
    ours.close()
    assert daemon.refusal().errno == errno.EPROTO
    until(lambda: has_ended(theirs), "the descriptor is closed")


def test_a_descriptor_that_is_no_socket_ends_the_connection(keeper, connect, pair):
    ours, theirs = pair
    reading, writing = os.pipe()
    daemon = connect()
    records = (Record(64, b""), Record(65, b""), Record(66, b""))
    daemon.say(Store(0, records), [pair[1].fileno(), reading, ours.fileno()])
    ours.close()
    os.close(reading)
    assert "no socket" in daemon.refusal().text
    with pytest.raises(BrokenPipeError):
        os.write(writing, b"x")
    os.close(writing)
    assert fetched(keeper.path) == {64: b""}
    assert has_ended(theirs)


def test_out_of_descriptors_ends_the_connection_and_loses_nothing(make_keeper, pair):
    ours, theirs = pair
    with socket.socket() as probe:
        highest = probe.fileno() + 40
    keeper = make_keeper(highest_fd=highest)
    with Daemon(keeper.path) as daemon:
        daemon.store(64, ours.fileno(), b"held")
        with socket.socket() as probe:
            room = highest - probe.fileno() + 1
        records = tuple(Record(number, b"") for number in range(65, 65 + room + 1))
        daemon.say(Store(0, records), [theirs.fileno()] * len(records))
        assert daemon.refusal().errno == errno.EMFILE
    assert fetched(keeper.path) == {64: b"held"}


def test_an_acknowledgement_of_nothing_ends_the_connection(connect, pair):
    daemon = connect()
    daemon.store(64, pair[0].fileno())
    daemon.say(Ack(1))
    assert daemon.refusal().errno == errno.EPROTO
    successor = connect(Mode.FETCH)
    sequence, _, descriptors = successor.receive()
    os.close(descriptors[0])
    successor.say(Ack(sequence + 1))
    assert successor.refusal().errno == errno.EPROTO


def test_an_empty_packet_is_an_end(connect, pair):
    daemon = connect()
    daemon.store(64, pair[0].fileno())
    daemon.send(b"")
    until(lambda: has_ended(daemon.sock), "the end")


def test_a_daemon_that_does_not_read_is_not_read_for_ever(connect):
    daemon = connect()
    daemon.sock.settimeout(0.5)  # longer than the keeper takes for one; if not, it is read on below
    ping = protocol.encode(Ping(), 1)
    sent = 0
    with suppress(TimeoutError):
        while sent < 100_000:
            daemon.send(ping)
            sent += 1
    assert sent < 100_000
    assert connect(None).refusal().errno == errno.EBUSY
    for _ in range(sent):
        daemon.hear(Ack)
    daemon.do(Ping())


BODIES = st.binary(max_size=40)
KINDS = st.sampled_from(list(b"HSCUFRPAWBMKX")) | st.integers(0, 255)
PACKETS = st.builds(
    lambda kind, flags, count, body: bytes([kind, flags]) + count.to_bytes(2, "little") + b"\1\0\0\0" + body,
    KINDS,
    st.integers(0, 1),
    st.integers(0, 3),
    BODIES,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    packets=st.lists(st.binary(min_size=1, max_size=64) | PACKETS, min_size=1, max_size=6),
    rights=st.integers(0, 3),
)
def test_no_bytes_end_the_keeper_or_lose_what_it_holds(keeper, packets, rights):
    with socket.socket() as ours, Daemon(keeper.path) as daemon:
        daemon.store(4_000_000_000, ours.fileno(), b"held")
        for packet in packets:
            if packet[:1] in {b"F", b"R", b"U"}:
                continue  # these may well be meant
            try:
                daemon.send(packet, [ours.fileno()] * rights)
            except OSError:
                break
    assert fetched(keeper.path)[4_000_000_000] == b"held"
