"""The file in memory that describes what is in the supervisor's store."""

from __future__ import annotations

import os
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from socketd.keeper.held import Held
from socketd.keeper.notes import MOST_BYTES, SLOT_BYTES, Notes, Slot, UnreadableError


@pytest.fixture
def notes():
    with closing(Notes.create(4)) as made:
        yield made


def held(number, note=b"", inode=2**64 - 1):
    return Held(number, -1, inode, note)


def test_what_is_written_is_read(notes):
    notes.write(1, held(64, b"first"))
    notes.write(4, held(2**32 - 1, b"x" * MOST_BYTES, inode=7))
    assert list(notes.read()) == [
        Slot(1, 64, 2**64 - 1, b"first"),
        Slot(4, 2**32 - 1, 7, b"x" * MOST_BYTES),
    ]


def test_a_cleared_slot_holds_nothing(notes):
    notes.write(1, held(64))
    notes.clear(1)
    assert list(notes.read()) == []


def test_a_shorter_note_leaves_nothing_of_the_longer(notes):
    notes.write(1, held(64, b"a long note"))
    notes.write(1, held(64, b"short"))
    assert [slot.note for slot in notes.read()] == [b"short"]


def test_the_highest_number_is_remembered(notes):
    assert notes.last_number == 0
    notes.set_last_number(2**32 - 1)
    assert notes.last_number == 2**32 - 1


def test_it_can_be_opened_again_and_grow(notes):
    notes.write(4, held(64, b"note"))
    notes.set_last_number(64)
    with closing(Notes.reopen(os.dup(notes.fd))) as again:
        again.grow(100)
        again.write(100, held(65))
        again.grow(5)
        assert again.slots == 100
        assert [slot.number for slot in again.read()] == [64, 65]
        assert again.last_number == 64


def test_no_slot_lies_on_two_pages():
    assert os.sysconf("SC_PAGE_SIZE") % SLOT_BYTES == 0


@pytest.mark.parametrize(
    "content", [b"", b"skkeep", b"something else altogether", b"skkeep\0\2" + bytes(9999)]
)
def test_what_is_not_ours_is_unreadable(content):
    fd = os.memfd_create("test", os.MFD_CLOEXEC)
    os.write(fd, content)
    with pytest.raises(UnreadableError):
        Notes.reopen(fd)
    os.close(fd)


def test_what_is_no_file_is_unreadable():
    reading, writing = os.pipe()
    with pytest.raises(UnreadableError):
        Notes.reopen(reading)
    os.close(reading)
    os.close(writing)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, SLOT_BYTES - 1), byte=st.integers(1, 255))
def test_a_damaged_slot_is_none_or_undamaged(notes, at, byte):
    sound = held(64, b"n" * 500)
    notes.write(1, sound)
    notes.write(2, held(65, b"other"))
    place = SLOT_BYTES + at
    before = os.pread(notes.fd, 1, place)
    os.pwrite(notes.fd, bytes([before[0] ^ byte if before else byte]), place)
    found = {slot.number: slot.note for slot in notes.read()}
    assert found.pop(65) == b"other"
    assert found in ({}, {64: b"n" * 500})


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.binary(max_size=SLOT_BYTES))
def test_garbage_is_no_slot(notes, garbage):
    os.pwrite(notes.fd, garbage.ljust(SLOT_BYTES, b"\0"), SLOT_BYTES)
    assert list(notes.read()) == []
