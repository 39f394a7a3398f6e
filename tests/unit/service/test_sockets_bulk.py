"""Many sockets at once are all made or none is."""

from __future__ import annotations

import errno
import socket

import pytest

from socketd.errors import (
    ClientGoneError,
    InvalidRequestError,
    KernelRefusedError,
    NameTakenError,
    OutOfDescriptorsError,
)
from socketd.service import Limits
from tests.held import FIRST, LOOPBACK, FailingFactory, Held, open_numbers, specification
from tests.ports import free_port
from tests.unit.service.creating import FRESH, create_many
from tests.waiters import PollWaiter


class GoneWaiter(PollWaiter):
    """A client that has gone when others are given way."""

    def give_way(self) -> None:
        raise ClientGoneError


def test_more_than_may_be_made_at_once_is_refused():
    held = Held(limits=Limits(max_count=2))
    with pytest.raises(InvalidRequestError) as caught:
        create_many(held, FRESH, 3)
    assert caught.value.member == "count"


@pytest.mark.parametrize("nth", [1, 5, 70])
def test_a_bulk_create_that_fails_tells_which_and_leaves_nothing(nth: int):
    held = Held(factory=FailingFactory(nth, errno.ENOBUFS))
    before = open_numbers()
    with pytest.raises(KernelRefusedError) as caught:
        create_many(held, FRESH, 100, "web")
    assert (caught.value.symbol, caught.value.index) == ("ENOBUFS", nth - 1)
    assert len(held.table) == 0
    assert open_numbers() == before
    assert not held.table.has_name("web.0")


def test_a_bulk_create_of_one_port_fails_at_the_second(held: Held):
    with pytest.raises(KernelRefusedError) as caught:
        create_many(held, specification(bind=f"127.0.0.1:{free_port()}", backlog=1), 3)
    assert (caught.value.symbol, caught.value.index) == ("EADDRINUSE", 1)
    assert len(held.table) == 0


def test_a_bulk_create_under_a_taken_name_leaves_nothing_but_that(held: Held):
    held.tcp(name="web.2")
    with pytest.raises(NameTakenError) as caught:
        create_many(held, FRESH, 5, "web")
    assert caught.value.index == 2
    assert len(held.table) == 1


def test_a_bulk_create_beyond_the_table_leaves_nothing():
    held = Held(limits=Limits(descriptors=FIRST + 10))
    with pytest.raises(OutOfDescriptorsError) as caught:
        create_many(held, FRESH, 11)
    assert caught.value.index == 10
    assert len(held.table) == 0


def test_a_bulk_create_for_a_client_that_goes_leaves_nothing(held: Held):
    with pytest.raises(ClientGoneError):
        create_many(held, FRESH, 100, waiter=GoneWaiter())
    assert len(held.table) == 0


def test_a_bulk_create_numbers_the_names_and_lets_others_run(held: Held):
    made = create_many(held, specification(bind=LOOPBACK, backlog=1), 130, "web")
    assert [entry.name for entry in made] == [f"web.{n}" for n in range(130)]
    assert [entry.fd for entry in made] == sorted(entry.fd for entry in made)
    assert held.waiter.gave_way == 2


def test_a_pair_of_one_name_is_refused(held: Held):
    with pytest.raises(NameTakenError):
        held.service.sockets.pair(held.call(), socket.AF_UNIX, socket.SOCK_STREAM, 0, ("a", "a"))
    assert len(held.table) == 0
