"""The journal: one numbered record a change, with who did what to which socket."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from socketd.core import address_text
from socketd.core.receiving import Wanted
from socketd.errors import NotPermittedError
from socketd.service.attaching import Message
from socketd.service.journal import KEPT, decoded
from tests.held import ANN, LOOPBACK, ROOT, Held, specification, where
from tests.unit.service.records import kinds, told

if TYPE_CHECKING:
    from collections.abc import Callable


def test_making_a_socket_is_a_change_for_each_thing_it_becomes(held: Held):
    held.make(specification(bind=LOOPBACK, backlog=1, options={"SO_REUSEADDR": True}), name="web")
    assert kinds(held) == ["created", "option_set", "bound", "listening"]


def test_a_change_tells_who_did_what_to_which_socket_and_where(held: Held):
    listener = held.listener(uid=ANN, name="web")
    change = told(held)[-1]
    assert (change.caller, change.entry) == (held.call(ANN).caller, listener)
    assert (change.event, change.result) == ("listening", "ok")
    assert address_text.text(change.address) == where(listener)
    assert change.at == held.clock.time()


def test_an_accepted_connection_tells_its_peer(held: Held):
    listener = held.listener()
    with socket.create_connection(listener.sock.getsockname()) as client:
        held.service.sockets.accept(held.call(), listener.reference, 10, 1, None)
        change = told(held)[-1]
        assert (change.event, change.address.sockaddr) == ("accepted", client.getsockname())


CHANGES: dict[str, tuple[str, Callable[[Held, str], object]]] = {
    "bind": ("bound", lambda h, ref: h.service.operations.bind(h.call(), ref, address_text.parse(LOOPBACK))),
    "listen": ("listening", lambda h, ref: h.service.operations.listen(h.call(), ref, 1)),
    "set_option": (
        "option_set",
        lambda h, ref: h.service.operations.set_option(h.call(), ref, "SO_KEEPALIVE", 1),
    ),
    "close": ("closed", lambda h, ref: h.service.sockets.close(h.call(), ref, shut_duplicates=False)),
    "delete": ("closed", lambda h, _: h.service.names.delete(h.call(), "web")),
    "release": ("released", lambda h, ref: h.service.passing.release(h.call(), [h.table.find(ref)])),
}


@pytest.mark.parametrize(("kind", "do"), CHANGES.values(), ids=CHANGES)
def test_every_verb_that_changes_something_is_one_record(
    held: Held, kind: str, do: Callable[[Held, str], object]
):
    entry = held.tcp(name="web")
    before = held.service.journal.last
    do(held, entry.reference)
    (record,) = held.service.journal.read(before, KEPT)
    assert (decoded(record).event, decoded(record).entry) == (kind, entry)


def test_connecting_and_shutting_down_are_told_with_whom_and_how(held: Held):
    listener, entry = held.listener(), held.tcp()
    peer = address_text.parse(where(listener))
    held.service.operations.connect(held.call(), entry.reference, peer, 10)
    held.service.operations.shutdown(held.call(), entry.reference, socket.SHUT_WR)
    connected, shut = told(held)[-2:]
    assert (connected.event, connected.address) == ("connected", peer)
    assert (shut.event, shut.how) == ("shut_down", "SHUT_WR")


def test_reading_is_no_change(held: Held):
    left, right = held.pair()
    before = held.service.journal.last
    held.service.sockets.get(held.call(), left.reference)
    held.service.operations.info(held.call(), left.reference)
    held.service.transfers.send(held.call(), left.reference, [Message(b"x")], 0, 1)
    held.service.transfers.receive(held.call(), right.reference, Wanted(1), 1)
    assert held.service.journal.last == before


def test_the_end_of_the_daemon_closes_by_nobody():
    held = Held()
    held.tcp()
    held.service.close()
    change = told(held)[-1]
    assert (change.event, change.caller) == ("closed", None)


def test_numbers_rise_and_a_later_daemon_begins_above(held: Held):
    held.pair()
    numbers = [change.sequence for change in told(held)]
    assert numbers == [numbers[0], numbers[0] + 1]
    later = Held()
    later.clock.now += 1
    assert Held().service.journal.last < int((later.clock.time()) * 1_000_000)


def test_the_figures_are_for_who_may_see_all(held: Held):
    held.tcp()
    figures = held.service.counting.read(held.call(ROOT))
    assert figures.sockets == {(socket.AF_INET, socket.SOCK_STREAM): 1}
    assert figures.done["created"] == 1
    with pytest.raises(NotPermittedError):
        held.service.counting.read(held.call(ANN))
