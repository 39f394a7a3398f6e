"""Ensure is the same every time, and tells in what a socket differs."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from socketd.errors import DiffersError, KernelRefusedError, NameTakenError, StaleError
from tests.held import BOB, LOOPBACK, FixedResolver, Held, specification, where
from tests.unit.service.creating import FRESH, ensure

if TYPE_CHECKING:
    from socketd.core.creation import Specification


@pytest.mark.parametrize(
    ("wanted", "members"),
    [
        (specification(bind="[::1]:0", backlog=1), ("family", "bind")),
        (specification(kind=socket.SOCK_DGRAM, bind=LOOPBACK), ("type", "listen")),
        (specification(protocol=262, bind=LOOPBACK, backlog=1), ("protocol",)),
        (specification(bind="127.0.0.2:0", backlog=1), ("bind",)),
        (specification(bind=LOOPBACK), ("listen",)),
        (specification(bind=LOOPBACK, backlog=1, options={"SO_KEEPALIVE": True}), ("options.SO_KEEPALIVE",)),
        (specification(connect="127.0.0.1:1"), ("connect", "listen")),
    ],
)
def test_ensure_of_what_differs_tells_in_what(held: Held, wanted: Specification, members: tuple[str, ...]):
    existing, _ = ensure(held, specification(bind=LOOPBACK, backlog=16))
    with pytest.raises(DiffersError) as caught:
        ensure(held, wanted)
    assert caught.value.members == members
    assert not existing.closed


def test_ensure_of_somebody_elses_name_is_taken_and_not_a_comparison(held: Held):
    held.tcp(uid=BOB, name="web")
    with pytest.raises(NameTakenError):
        ensure(held, FRESH)


def test_ensure_with_an_if_match_of_another_is_stale(held: Held):
    with pytest.raises(StaleError):
        ensure(held, FRESH, expected=frozenset({1}))
    ensure(held, FRESH)
    with pytest.raises(StaleError):
        ensure(held, FRESH, expected=frozenset({1}))


def test_ensure_of_what_cannot_be_made_leaves_nothing(held: Held):
    with pytest.raises(KernelRefusedError):
        ensure(held, specification(bind="203.0.113.1:0", backlog=1))
    assert len(held.table) == 0


@pytest.mark.parametrize(
    "wanted",
    [
        specification(),
        specification(bind=LOOPBACK, backlog=5),
        specification(bind="localhost:0", backlog=5),
        specification(bind=":0", backlog=5, options={"SO_REUSEADDR": True, "SO_RCVBUF": 8192}),
        specification(socket.AF_UNIX, bind="@socketd-test-ensure", backlog=5),
        specification(protocol=socket.IPPROTO_TCP),
    ],
)
def test_ensure_makes_it_once_and_finds_it_after(held: Held, wanted: Specification):
    made, is_new = ensure(held, wanted)
    assert is_new
    again = ensure(held, wanted, expected=frozenset({made.cookie}))
    assert again == (made, False)
    assert len(held.table) == 1


def test_ensure_of_a_connection_finds_it(held: Held):
    listener = held.listener()
    made, _ = ensure(held, specification(connect=where(listener)))
    assert ensure(held, specification(connect=where(listener))) == (made, False)


def test_ensure_is_the_same_at_any_address_of_a_name():
    held = Held(resolver=FixedResolver({"two": ["203.0.113.1", "127.0.0.1"]}))
    wanted = specification(bind="two:0", backlog=1)
    made, _ = ensure(held, wanted)
    assert ensure(held, wanted) == (made, False)
    held.service.close()
