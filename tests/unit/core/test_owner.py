"""Whose a socket is, as text and as what is stored, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.core.owner import MOST_NAME, MOST_UID, Owner, is_name

NAMES = st.text(min_size=1, max_size=MOST_NAME).filter(is_name)
OWNERS = st.one_of(
    st.builds(Owner, uid=st.integers(0, MOST_UID)),
    st.builds(Owner, token=NAMES),
    st.builds(Owner, certificate=NAMES),
)


@given(OWNERS)
def test_what_is_written_is_read(owner):
    assert Owner.parse(str(owner)) == owner
    assert Owner.read(owner.members()) == owner
    assert len(owner.members()) == 1


@given(OWNERS, OWNERS)
def test_two_are_told_apart_by_their_texts(one, other):
    assert (str(one) == str(other)) is (one == other)


@pytest.mark.parametrize("members", [{}, {"uid": 1, "token": "x"}, {"token": "x", "certificate": "x"}])
def test_an_owner_is_exactly_one(members):
    with pytest.raises(ValueError, match="an owner is"):
        Owner(**members)
    with pytest.raises(ValueError, match="an owner is"):
        Owner.read(members)


@pytest.mark.parametrize(
    "members",
    [
        {"uid": "1"},
        {"uid": True},
        {"uid": -1},
        {"uid": 1.0},
        {"uid": MOST_UID + 1},
        {"token": ""},
        {"token": 5},
        {"token": "a\nb"},
        {"token": "\udc80"},
        {"certificate": "x" * 256},
        {"certificate": "\u00e9" * 128},
    ],
)
def test_what_is_stored_and_no_owner_is_refused(members):
    with pytest.raises(ValueError, match="its owner"):
        Owner.read(members)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "-1",
        "4294967295",
        "99999999999999999999",
        "uid:",
        "uid:x",
        "uid: 1",
        "uid:\u0661",
        "1:2",
        ":1",
        "token:",
        "token:a\nb",
        "certificate:",
        "group:x",
        "user:ann",
        "UID:1",
    ],
)
def test_what_is_no_owner_is_refused(text):
    with pytest.raises(ValueError, match="an owner is"):
        Owner.parse(text)


def test_a_bare_number_is_a_uid():
    assert Owner.parse("1000") == Owner.parse("uid:1000") == Owner(1000)
