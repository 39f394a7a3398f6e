"""Promised names: whose they are, who has one meanwhile, and what deleting one ends."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from socketd.core.owner import Owner
from socketd.core.table import Origin
from socketd.errors import ClosedMeanwhileError, NameTakenError, StaleError, UnknownSocketError
from socketd.web.specification import specification
from tests.held import ANN, BOB, ROOT
from tests.ports import free_port
from tests.unit.service.reboots import (
    LOADS,
    create,
    declared,
    ensure,
    held,
    hosts,
    listening,
    named,
    rebooted_without,
)

if TYPE_CHECKING:
    from typing import Any

__all__ = ["held", "hosts"]  # fixtures


def test_anothers_promise_is_out_of_sight_and_out_of_reach(hosts, held):
    port = free_port()
    create(held, "web", listening(port))
    with rebooted_without(port, hosts, held) as new:
        before = dict(hosts.shelf.saved)
        for make in (create, ensure):
            with pytest.raises(NameTakenError):
                make(new, "web", listening(), BOB)
        with pytest.raises(UnknownSocketError):
            named(new, "web", BOB)
        with pytest.raises(UnknownSocketError):
            new.service.names.delete(new.call(BOB), "web")
        assert new.service.names.all(new.call(BOB)) == []
        entry, _ = ensure(new, "web", listening(), ROOT)
    assert entry.owner == Owner(ANN)
    assert hosts.shelf.saved != before


def test_whoever_takes_the_name_meanwhile_keeps_it_and_the_promise_waits(hosts, held):
    port = free_port()
    create(held, "web", listening(port))
    with rebooted_without(port, hosts, held) as new:
        assert len(new.table) == 0
    bobs = new.service.sockets.create(
        new.call(BOB), specification(LOADS.load({})), Origin(Owner(BOB), "web"), None
    )
    new.clock.now += 1
    new.service.boot.remake()
    assert isinstance(named(new, "web", ANN).failure, NameTakenError)
    assert named(new, "web", ANN).entry is None
    assert named(new, "web", BOB).persist is None
    new.table.close(bobs)
    new.clock.now += 2
    new.service.boot.remake()
    assert named(new, "web", ANN).entry is not None


def test_a_promise_taken_back_while_its_socket_is_made_leaves_nothing(hosts, held):
    create(held, "web", declared(bind={"host": "localhost", "port": 0}, listen=True))
    held.service.close()
    held = hosts.start()

    def resolve(*question: Any) -> Any:
        held.service.names.delete(held.call(ANN), "web")
        return socket.getaddrinfo(*question)

    hosts.resolver = resolve
    held.service.boot.remake()
    assert (len(held.table), hosts.shelf.saved) == (0, {})
    with pytest.raises(UnknownSocketError):
        named(held, "web")


def test_one_closed_while_it_is_saved_is_not_promised(hosts, held):
    hosts.shelf.before["load"] = lambda: held.table.close(held.table.find("web"))
    with pytest.raises(ClosedMeanwhileError):
        create(held, "web", listening())
    assert not hosts.shelf.saved


def test_deleting_a_name_closes_its_socket_and_ends_the_promise(hosts, held):
    entry = create(held, "web", listening())
    with pytest.raises(StaleError):
        held.service.names.delete(held.call(ANN, expected=frozenset({entry.cookie + 1})), "web")
    held.service.names.delete(held.call(ANN, expected=frozenset({entry.cookie})), "web")
    assert entry.closed
    assert (hosts.shelf.saved, hosts.keeper.copies) == ({}, {})
    for name in ("web", "64", "no name"):
        with pytest.raises(UnknownSocketError):
            held.service.names.delete(held.call(ANN), name)


def test_deleting_a_promise_whose_socket_is_not_there_needs_no_etag(hosts, held):
    port = free_port()
    create(held, "web", listening(port))
    with rebooted_without(port, hosts, held) as new:
        assert len(new.table) == 0
    with pytest.raises(StaleError):
        new.service.names.delete(new.call(ANN, expected=frozenset({1})), "web")
    new.service.names.delete(new.call(ANN), "web")
    new.clock.now += 60
    new.service.boot.remake()
    assert (len(new.table), hosts.shelf.saved) == (0, {})


def test_a_number_is_no_name(held):
    entry = held.tcp()
    with pytest.raises(UnknownSocketError):
        named(held, entry.reference)


def test_names_are_listed_in_order_and_letting_others_run(held):
    for number in range(300):
        held.tcp(name=f"n{number:03}")
    held.tcp()
    listed = held.service.names.all(held.call())
    assert [each.name for each in listed] == [f"n{number:03}" for number in range(300)]
