"""A note is read as it was written, also by a version that knows more; a newer one is told apart."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.core.entry import Note, Taker, UnixFile
from socketd.core.owner import Owner, is_name
from socketd.keeper import protocol
from socketd.runtime.keeping.notes import NewerNoteError, UnreadableNoteError, decode, encode

NUMBERS = st.integers(0, 2**63 - 1)
TIMES = st.floats(0, 1e11)
TAKERS = st.builds(Taker, NUMBERS, st.none() | NUMBERS, TIMES)
# As os.fsdecode gives them: any byte may be in a path, and one that is no UTF-8 is a lone surrogate.
PATHS = st.binary(min_size=1, max_size=108).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
NAMES = st.text(min_size=1, max_size=60).filter(is_name)
OWNERS = st.one_of(
    st.builds(Owner, uid=st.integers(0, 2**32 - 2)),
    st.builds(Owner, token=NAMES),
    st.builds(Owner, certificate=NAMES),
)
NOTES = st.builds(
    Note,
    owner=OWNERS,
    created_at=TIMES,
    name=st.none() | st.text(max_size=64),
    accepted_from=st.none() | NUMBERS,
    persist=st.none() | st.just("boot"),
    taken=NUMBERS,
    taken_by=st.none() | TAKERS,
    is_blocking=st.booleans(),
    socket_file=st.none() | st.builds(UnixFile, PATHS, NUMBERS, NUMBERS),
    key=st.none() | st.text("0123456789abcdef", max_size=64),
    forwarded=st.booleans(),
)


@given(NOTES)
def test_note_is_read_as_it_was_written_and_fits_the_protocol(note):
    raw = encode(note)
    assert decode(raw) == note
    assert len(raw) <= protocol.MOST_NOTE_BYTES


def test_note_of_a_plain_socket_is_short():
    assert encode(Note(Owner(0), 1.5)) == b'{"v":1,"owner":{"uid":0},"at":1.5}'


@pytest.mark.parametrize(
    ("owner", "members"),
    [(Owner(token="ci"), b'{"token":"ci"}'), (Owner(certificate="web1"), b'{"certificate":"web1"}')],
)
def test_owner_who_is_no_user_is_noted_by_name(owner, members):
    assert encode(Note(owner, 1.5)) == b'{"v":1,"owner":%s,"at":1.5}' % members


def test_members_of_a_later_version_that_do_no_harm_are_passed_over():
    assert decode(b'{"v":1,"owner":{"uid":7,"gid":8},"at":1,"colour":"red"}') == Note(Owner(7), 1.0)


def test_newer_version_is_refused_by_name():
    with pytest.raises(NewerNoteError, match=r"version 2; this daemon reads 1"):
        decode(b'{"v":2}')


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b'{"v":"1"}',
        b'{"v":1}',
        b'{"v":1,"owner":{"uid":"me"},"at":1}',
        b'{"v":1,"owner":7,"at":1}',
        b'{"v":1,"owner":{},"at":1}',
        b'{"v":1,"owner":{"uid":-1},"at":1}',
        b'{"v":1,"owner":{"uid":4294967295},"at":1}',
        b'{"v":1,"owner":{"uid":true},"at":1}',
        b'{"v":1,"owner":{"token":""},"at":1}',
        b'{"v":1,"owner":{"token":"a\\nb"},"at":1}',
        b'{"v":1,"owner":{"certificate":5},"at":1}',
        b'{"v":1,"owner":{"uid":7,"token":"ci"},"at":1}',
        b'{"v":1,"owner":{"uid":7},"at":1,"taken_by":5}',
        b'{"v":1,"owner":{"uid":7},"at":1,"file":{"path":"/x"}}',
        b"[" * 4000,
    ],
)
def test_what_is_no_note_is_unreadable(raw):
    with pytest.raises(UnreadableNoteError):
        decode(raw)


@given(
    st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)
)
def test_whatever_the_bytes_are_nothing_else_is_raised(raw):
    with pytest.raises(UnreadableNoteError):
        decode(raw if isinstance(raw, bytes) else raw.encode())
