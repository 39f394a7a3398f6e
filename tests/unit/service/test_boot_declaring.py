"""Declaring a promised socket again: the same, otherwise, without the promise, or while it fails."""

from __future__ import annotations

import pytest

from socketd.errors import DiffersError, NameTakenError, NotSavedError
from tests.ports import free_port
from tests.unit.service.reboots import (
    create,
    declared,
    ensure,
    held,
    hosts,
    listening,
    named,
    rebooted_without,
)

__all__ = ["held", "hosts"]  # fixtures


def test_declaring_it_again_saves_what_is_declared_now(hosts, held):
    wanted = listening()
    first, _ = ensure(held, "web", wanted)
    hosts.shelf.failing.add("save")
    assert ensure(held, "web", wanted) == (first, False)  # the same: the disk is left in peace
    hosts.shelf.failing.clear()
    ensure(held, "web", declared(bind="127.0.0.1:0", listen={"backlog": 9}))
    assert hosts.shelf.saved["web"].document["listen"] == {"backlog": 9}


def test_declaring_it_without_a_word_about_persisting_leaves_that(hosts, held):
    ensure(held, "web", listening())
    before = dict(hosts.shelf.saved)
    entry, is_new = ensure(held, "web", declared(None, listen=True))
    assert (is_new, entry.persist, hosts.shelf.saved) == (False, "boot", before)


def test_declaring_that_it_shall_not_persist_ends_the_promise(hosts, held):
    entry, _ = ensure(held, "web", listening())
    ensure(held, "web", listening(persist=False))
    assert (entry.closed, entry.persist, hosts.shelf.saved) == (False, None, {})
    hosts.keeper.confirm()
    assert hosts.keeper.copies[entry.fd].note.persist is None


def test_one_that_exists_can_be_promised_later(hosts, held):
    entry, _ = ensure(held, "web", listening(persist=None))
    assert ensure(held, "web", listening()) == (entry, False)
    assert (entry.persist, set(hosts.shelf.saved)) == ("boot", {"web"})
    assert hosts.keeper.copies[entry.fd].note.persist == "boot"


def test_one_that_differs_is_refused_and_its_promise_stands(hosts, held):
    ensure(held, "web", listening())
    before = dict(hosts.shelf.saved)
    with pytest.raises(DiffersError):
        ensure(held, "web", declared(type="dgram"))
    assert hosts.shelf.saved == before


def test_one_that_fails_can_be_declared_otherwise(hosts, held):
    port = free_port()
    create(held, "web", listening(port))
    with rebooted_without(port, hosts, held) as new:
        with pytest.raises(NameTakenError):
            create(new, "web", listening())
        entry, is_new = ensure(new, "web", listening(persist=None))
    assert is_new
    assert entry.persist == "boot"
    assert hosts.shelf.saved["web"].document["bind"] == "127.0.0.1:0"
    assert named(new, "web").failure is None


def test_one_that_fails_and_cannot_be_taken_back_is_not_made_otherwise(hosts, held):
    port = free_port()
    create(held, "web", listening(port))
    with rebooted_without(port, hosts, held) as new:
        hosts.shelf.failing.add("remove")
        with pytest.raises(NotSavedError):
            ensure(new, "web", listening(persist=False))
        assert len(new.table) == 0
        hosts.shelf.failing.clear()
        entry, is_new = ensure(new, "web", listening(persist=False))
    assert (is_new, entry.persist, hosts.shelf.saved) == (True, None, {})
