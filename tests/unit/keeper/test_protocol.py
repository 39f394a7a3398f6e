"""The wire: what goes in comes out, and nothing else is taken for a message."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.keeper import protocol
from socketd.keeper.messages import (
    Ack,
    Batch,
    Commit,
    Forget,
    Hello,
    Kept,
    Missing,
    Mode,
    Ping,
    Record,
    Refused,
    Retain,
    Store,
    Update,
    Welcome,
)
from socketd.keeper.protocol import MalformedError

WORD = 0xFFFF_FFFF
NOTE = b'{"v":1}'
FROM_DAEMON = [
    Hello(1, Mode.FETCH),
    Hello(1, Mode.RESUME),
    Store(0, (Record(64, NOTE),)),
    Store(WORD, (Record(1, b""), Record(WORD, b"\0" * 4096))),
    Store(3, ()),
    Commit(1),
    Update((Record(64, NOTE), Record(65, b""))),
    Forget((64, 0, WORD)),
    Forget(tuple(range(protocol.MOST_LISTED))),
    Retain(((64, 2**64 - 1), (65, 1)), is_last=False),
    Retain((), is_last=True),
    Ping(),
    Ack(7),
]
FROM_KEEPER = [
    Welcome(1, 100_000, WORD, "systemd"),
    Welcome(1, 0, 0, ""),
    Batch((Record(64, NOTE),), is_last=False),
    Batch((), is_last=True),
    Ack(WORD),
    Missing((1, 2, 3), is_last=False),
    Missing((), is_last=True),
    Kept(((64, True), (65, False))),
    Refused(16, "another daemon is connected: größer"),
    Refused(1, ""),
]


def count(message):
    return len(message.records) if isinstance(message, Store | Batch) else 0


@pytest.mark.parametrize("message", FROM_DAEMON, ids=lambda each: type(each).__name__)
def test_what_a_daemon_says_comes_through(message):
    packet = protocol.encode(message, 9)
    assert protocol.from_daemon(packet, count(message)) == (9, message)


@pytest.mark.parametrize("message", FROM_KEEPER, ids=lambda each: type(each).__name__)
def test_what_a_keeper_says_comes_through(message):
    packet = protocol.encode(message, WORD)
    assert protocol.from_keeper(packet, count(message)) == (WORD, message)


@pytest.mark.parametrize("message", FROM_DAEMON, ids=lambda each: type(each).__name__)
def test_a_byte_more_or_less_is_malformed(message):
    packet = protocol.encode(message, 9)
    for other in (packet[:-1], packet + b"\0"):
        with pytest.raises(MalformedError):
            protocol.from_daemon(other, count(message))


@pytest.mark.parametrize("message", FROM_KEEPER[:-2], ids=lambda each: type(each).__name__)
def test_a_byte_more_or_less_from_the_keeper_is_malformed(message):
    packet = protocol.encode(message, 9)
    for other in (packet[:-1], packet + b"\0"):
        with pytest.raises(MalformedError):
            protocol.from_keeper(other, count(message))


@pytest.mark.parametrize("message", FROM_DAEMON + FROM_KEEPER, ids=lambda each: type(each).__name__)
def test_other_numbers_of_descriptors_are_malformed(message):
    packet = protocol.encode(message, 9)
    read = protocol.from_daemon if message in FROM_DAEMON else protocol.from_keeper
    with pytest.raises(MalformedError):
        read(packet, count(message) + 1)


def test_each_side_says_only_its_own():
    with pytest.raises(MalformedError):
        protocol.from_daemon(protocol.encode(Welcome(1, 0, 0, ""), 1))
    with pytest.raises(MalformedError):
        protocol.from_keeper(protocol.encode(Ping(), 1))


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"P",
        struct.pack("=BBHI", ord("P"), 0, 1, 1),
        struct.pack("=BBHI", ord("P"), 1, 0, 1),
        struct.pack("=BBHI", ord("R"), 2, 0, 1),
        struct.pack("=BBHI", ord("?"), 0, 0, 1),
        struct.pack("=BBHIHB", ord("H"), 0, 0, 1, 2, 1),
        struct.pack("=BBHIHB", ord("H"), 0, 0, 1, 1, 3),
        struct.pack("=BBHII", ord("C"), 0, 0, 1, 0),
        struct.pack("=BBHIIH", ord("U"), 0, 1, 1, 0, 0),
        struct.pack("=BBHIIH", ord("U"), 0, 1, 1, 64, 1),
        struct.pack("=BBHIIH", ord("U"), 0, 1, 1, 64, 4097) + bytes(4097),
        struct.pack("=BBHI", ord("F"), 0, 4097, 1) + bytes(4097 * 4),
        struct.pack("=BBHI", ord("U"), 0, 0, 1) + bytes(65_536),
    ],
    ids=[
        "nothing",
        "half a header",
        "a count that counts nothing",
        "a flag that says nothing",
        "an unknown flag",
        "an unknown kind",
        "another version",
        "an unknown mode",
        "group 0",
        "number 0",
        "a note cut short",
        "too long a note",
        "too many",
        "too long a packet",
    ],
)
def test_malformed(packet):
    with pytest.raises(MalformedError):
        protocol.from_daemon(packet)


@pytest.mark.parametrize(
    "packet",
    [
        struct.pack("=BBHIIB", ord("K"), 0, 1, 1, 64, 2),
        struct.pack("=BBHII", ord("X"), 0, 0, 1, 16) + b"\xff",
        struct.pack("=BBHIHIIB", ord("W"), 0, 0, 1, 2, 0, 0, 0),
    ],
    ids=["neither kept nor not", "no UTF-8", "another version"],
)
def test_malformed_from_a_keeper(packet):
    with pytest.raises(MalformedError):
        protocol.from_keeper(packet)


@pytest.mark.parametrize(
    "message",
    [
        Store(0, tuple(Record(64, b"") for _ in range(201))),
        Update(tuple(Record(64, bytes(4096)) for _ in range(16))),
        Forget(tuple(range(4097))),
        Forget((-1,)),
        Commit(2**32),
        Welcome(1, 0, 0, "x" * 256),
    ],
    ids=["descriptors", "bytes", "numbers", "negative", "group", "label"],
)
def test_what_does_not_fit_is_not_sent(message):
    with pytest.raises(ValueError, match=r"."):
        protocol.encode(message, 1)


HEADERS = st.builds(
    struct.Struct("=BBHI").pack,
    st.sampled_from(list(b"HSCUFRPAWBMKX")) | st.integers(0, 255),
    st.integers(0, 2),
    st.integers(0, 5) | st.integers(0, 65_535),
    st.integers(0, WORD),
)
PACKETS = st.binary(max_size=64) | st.builds(bytes.__add__, HEADERS, st.binary(max_size=64))


@given(packet=PACKETS, descriptors=st.integers(0, 5))
def test_any_bytes_are_a_message_or_malformed(packet, descriptors):
    for read in (protocol.from_daemon, protocol.from_keeper):
        try:
            sequence, message = read(packet, descriptors)
        except MalformedError:
            continue
        assert protocol.encode(message, sequence) == packet


@given(sizes=st.lists(st.integers(0, 4096), max_size=450))
def test_records_are_cut_into_parts_that_fit(sizes):
    records = [Record(number, bytes(size)) for number, size in enumerate(sizes, 1)]
    parts = list(protocol.fitting(records))
    assert [record for part in parts for record in part] == records
    assert all(protocol.encode(Store(0, part), 1) for part in parts)
    assert all(parts)


def test_sequences_go_round_without_0():
    assert protocol.following(0) == 1
    assert protocol.following(WORD) == 1
