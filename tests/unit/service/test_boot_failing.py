"""A promise that cannot be kept yet is told, tried again, and stops no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from socketd.core.owner import Owner
from socketd.core.saving import Saved
from socketd.errors import (
    InvalidRequestError,
    NotSavedError,
    UnknownSocketError,
    UnreadableSpecificationError,
)
from socketd.service.promises import LAST_RETRY_S
from socketd.web.specification import read
from tests.held import ANN, ROOT
from tests.ports import free_port
from tests.unit.service.reboots import create, ensure, held, hosts, listening, named, rebooted_without, taken

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["held", "hosts"]  # fixtures


def test_one_whose_address_is_taken_is_told_and_stops_no_other(hosts, held):
    port, other = free_port(), free_port()
    create(held, "busy", listening(port))
    create(held, "other", listening(other))
    with rebooted_without(port, hosts, held) as new:
        told = named(new, "busy")
        assert (told.persist, told.owner, told.entry) == ("boot", Owner(ANN), None)
        assert told.failure is not None
        assert told.failure.symbol == "EADDRINUSE"
        assert told.retry_at == new.clock.time() + 1
        assert named(new, "other").entry is not None
    new.clock.now += 1
    new.service.boot.remake()
    made = named(new, "busy")
    assert made.entry is not None
    assert (made.failure, made.retry_at) == (None, None)


def test_it_is_tried_ever_less_often_and_at_least_once_a_minute(hosts, held):
    port = free_port()
    create(held, "busy", listening(port))
    held.service.close()
    held = hosts.start()
    pauses = []
    with taken(port):
        for _ in range(8):
            pauses.append(held.service.boot.remake())
            held.clock.now += pauses[-1]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert held.service.boot.remake() == LAST_RETRY_S
    assert named(held, "busy").entry is not None


def test_it_is_not_tried_before_its_time(hosts, held):
    port = free_port()
    create(held, "busy", listening(port))
    with rebooted_without(port, hosts, held) as new:
        assert len(new.table) == 0
    new.clock.now += 0.5
    assert new.service.boot.remake() == 0.5
    assert named(new, "busy").entry is None


def test_one_that_cannot_be_meant_any_more_stops_no_other(hosts, held):
    hosts.shelf.saved = {
        "odd": Saved("odd", Owner(ANN), {"famly": "inet"}),
        "peer": Saved("peer", Owner(ANN), {"connect": "127.0.0.1:1"}),
        "web": Saved("web", Owner(ANN), {"bind": "127.0.0.1:0", "listen": True}),
    }
    held.service.boot.remake()
    assert isinstance(named(held, "odd").failure, InvalidRequestError)
    assert isinstance(named(held, "peer").failure, InvalidRequestError)
    assert named(held, "web").entry is not None


def test_a_fault_of_ours_with_one_stops_no_other(hosts):
    def reading(document: Mapping[str, Any]) -> Any:
        if "type" in document:
            raise RuntimeError("a fault")
        return read(document)

    hosts.shelf.saved = {
        "odd": Saved("odd", Owner(ANN), {"type": "stream"}),
        "web": Saved("web", Owner(ANN), {}),
    }
    held = hosts.start(reading)
    held.service.boot.remake()
    assert named(held, "odd").failure is not None
    assert named(held, "web").entry is not None


def test_an_unreadable_one_is_shown_to_root_and_not_written_over(hosts):
    hosts.shelf.broken = ["web"]
    held = hosts.start()
    held.service.boot.remake()
    told = named(held, "web")
    assert (told.owner, told.entry, told.retry_at) == (None, None, None)
    assert isinstance(told.failure, UnreadableSpecificationError)
    with pytest.raises(UnknownSocketError):
        named(held, "web", ANN)
    for make in (create, ensure):
        with pytest.raises(UnreadableSpecificationError):
            make(held, "web", listening())
    entry, _ = ensure(held, "web", listening(persist=None))
    assert entry.persist is None
    held.service.names.delete(held.call(ROOT), "web")
    create(held, "web", listening())


def test_a_disk_that_cannot_be_read_is_tried_again(hosts, held):
    hosts.shelf.saved = {"web": Saved("web", Owner(ANN), {})}
    hosts.shelf.failing.add("load")
    assert [held.service.boot.remake() for _ in range(3)] == [1, 2, 4]
    with pytest.raises(NotSavedError):
        create(held, "other", listening())
    assert len(held.table) == 0
    hosts.shelf.failing.clear()
    assert held.service.boot.remake() == LAST_RETRY_S
    assert named(held, "web").entry is not None
