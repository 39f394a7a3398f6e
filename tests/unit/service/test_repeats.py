"""A request that is repeated after the daemon has died is answered with the sockets that it made before."""

from __future__ import annotations

import _socket
import os
import socket
from typing import TYPE_CHECKING

import pytest

from socketd.core.owner import Owner
from socketd.core.table import Origin
from socketd.errors import AlreadyHeldError
from socketd.service.donation import Offer
from tests.held import LOOPBACK, Held, specification
from tests.recording_keeper import RecordingKeeper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd.core.entry import Entry

LISTENER = specification(bind=LOOPBACK, backlog=4)


class Deaths:
    """A daemon that is killed, and another that goes on with what the keeper has."""

    def __init__(self) -> None:
        self.keeper = RecordingKeeper()
        self.held = Held(keeper=self.keeper)

    def die(self) -> None:
        self.keeper.outlive(self.held.table)
        self.held = Held(keeper=self.keeper)
        self.keeper.hand_back(self.held.table)
        self.keeper.said.clear()


@pytest.fixture
def deaths() -> Iterator[Deaths]:
    made = Deaths()
    yield made
    made.held.service.close()
    made.keeper.close()


def numbers(entries: list[Entry]) -> list[int]:
    return [entry.fd for entry in entries]


def test_a_repeated_create_is_answered_with_what_the_first_made(deaths: Deaths):
    def create() -> Entry:
        call = deaths.held.call(key="k")
        return deaths.held.service.sockets.create(call, LISTENER, Origin(Owner(0), "web"), 1)

    first = create()
    deaths.die()
    again = create()
    assert (again.fd, again.cookie, again.name) == (first.fd, first.cookie, "web")
    assert len(deaths.held.table) == 1


def test_a_repeated_bulk_create_is_answered_in_the_same_order(deaths: Deaths):
    def create() -> list[Entry]:
        call = deaths.held.call(key="k")
        return deaths.held.service.sockets.create_many(call, specification(), Origin(Owner(0), "w"), 12, 1)

    first = create()
    deaths.die()
    again = create()
    assert numbers(again) == numbers(first)
    assert [entry.name for entry in again] == [f"w.{index}" for index in range(12)]


def test_a_repeated_pair_is_answered_with_the_same_two(deaths: Deaths):
    def pair() -> list[Entry]:
        call = deaths.held.call(key="k")
        return deaths.held.service.sockets.pair(call, socket.AF_UNIX, socket.SOCK_STREAM, 0, ("a", "b"))

    first = pair()
    deaths.die()
    assert numbers(pair()) == numbers(first)
    assert len(deaths.held.table) == 2


def test_a_repeated_accept_takes_no_second_connection(deaths: Deaths):
    listener = deaths.held.listener()

    def accept() -> list[Entry]:
        call = deaths.held.call(key="k")
        return deaths.held.service.sockets.accept(call, listener.reference, 5, 2, None)

    address = listener.sock.getsockname()
    with (
        socket.create_connection(address),
        socket.create_connection(address),
        socket.create_connection(address),
    ):
        first = accept()
        deaths.die()
        assert numbers(accept()) == numbers(first)
        assert len(deaths.held.table) == 3


def test_a_repeated_give_is_answered_with_what_was_given(deaths: Deaths):
    with socket.socket() as one, socket.socket() as two:

        def give() -> list[Entry]:
            passing = deaths.held.service.passing
            donation = passing.donation(deaths.held.call(key="k"), [Offer("a"), Offer()], existing_ok=False)
            try:
                donation.add([os.dup(one.fileno()), os.dup(two.fileno())])
                return donation.finish()
            except BaseException:
                donation.abandon()
                raise

        first = give()
        deaths.die()
        assert numbers(give()) == numbers(first)
        assert numbers(give()) == numbers(first)


def test_a_give_under_a_key_still_refuses_the_same_socket_twice(deaths: Deaths):
    with socket.socket() as ours:
        passing = deaths.held.service.passing
        donation = passing.donation(deaths.held.call(key="k"), [Offer(), Offer()], existing_ok=False)
        with pytest.raises(AlreadyHeldError):
            donation.add([os.dup(ours.fileno()), os.dup(ours.fileno())])
        donation.abandon()


def test_a_repeated_give_from_a_process_is_answered_with_the_same(deaths: Deaths):
    with socket.socket() as ours:

        def give() -> Entry:
            call = deaths.held.call(key="k")
            return deaths.held.service.passing.give_from(call, os.getpid(), ours.fileno(), Offer("x"))

        first = give()
        deaths.die()
        assert give().fd == first.fd


def test_what_was_staged_when_the_daemon_died_is_made_anew(deaths: Deaths):
    group = deaths.keeper.group()
    deaths.held.table.hold(_socket.socket(), Origin(Owner(0), key="k", group=group))
    deaths.keeper.confirm()
    deaths.die()
    assert len(deaths.held.table) == 0
    deaths.held.service.sockets.create(deaths.held.call(key="k"), specification(), Origin(Owner(0)), 1)
    assert len(deaths.held.table) == 1


def test_another_key_makes_another_socket(deaths: Deaths):
    for key in ("k", "l", None):
        deaths.held.service.sockets.create(deaths.held.call(key=key), specification(), Origin(Owner(0)), 1)
        deaths.die()
    assert len(deaths.held.table) == 3


def test_what_was_closed_since_is_no_answer(deaths: Deaths):
    create = deaths.held.service.sockets.create
    first = create(deaths.held.call(key="k"), specification(), Origin(Owner(0)), 1)
    deaths.die()
    deaths.held.service.sockets.close(deaths.held.call(), first.reference, shut_duplicates=False)
    again = deaths.held.service.sockets.create(
        deaths.held.call(key="k"), specification(), Origin(Owner(0)), 1
    )
    assert again.cookie != first.cookie
