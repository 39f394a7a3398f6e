"""The journal's refusals: one record each, with what was asked and why not."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from socketd.core import address_text
from socketd.core.owner import Owner
from socketd.core.table import Origin
from socketd.errors import (
    ClientGoneError,
    InvalidRequestError,
    KernelRefusedError,
    NotPermittedError,
    SocketdError,
    UnknownSocketError,
    WouldBlockError,
)
from socketd.service.attaching import Message
from socketd.service.guard import Fixed
from socketd.service.journal import KEPT, decoded
from tests.held import ANN, BOB, LOOPBACK, Held, specification, where
from tests.policies import policy
from tests.unit.service.records import kinds, told

if TYPE_CHECKING:
    from collections.abc import Callable


def test_what_the_kernel_refuses_is_told_with_what_was_asked(held: Held):
    taken = where(held.listener())
    entry = held.tcp()
    with pytest.raises(KernelRefusedError):
        held.service.operations.bind(held.call(), entry.reference, address_text.parse(taken))
    change = told(held)[-1]
    assert (change.event, change.kind, change.result) == ("refused", "bound", "EADDRINUSE")
    assert (change.asked, change.entry, change.address) == (taken, entry, None)


def test_a_refused_making_leaves_one_record_and_no_socket(held: Held):
    taken = where(held.listener())
    before = held.service.journal.last
    with pytest.raises(KernelRefusedError):
        held.make(specification(bind=taken, backlog=1))
    (record,) = held.service.journal.read(before, KEPT)
    assert (decoded(record).event, decoded(record).kind, decoded(record).asked) == (
        "refused",
        "created",
        taken,
    )


def test_a_bulk_that_fails_is_told_as_it_went(held: Held):
    held.tcp(name="web.2")
    before = held.service.journal.last
    with pytest.raises(SocketdError):
        held.service.sockets.create_many(held.call(), specification(), Origin(Owner(0), "web"), 3, 1)
    events = [decoded(record).event for record in held.service.journal.read(before, KEPT)]
    assert events == ["created", "created", "closed", "closed", "refused"]


@pytest.mark.parametrize(
    "error", [WouldBlockError("accept"), ClientGoneError(), InvalidRequestError("no")], ids=type
)
def test_what_did_not_happen_yet_is_no_refusal(held: Held, error: SocketdError):
    held.service.journal.refuse(held.call(), "accepted", error)
    assert kinds(held) == []


def test_a_refusal_is_told_once_however_many_parts_it_passes(held: Held):
    error = NotPermittedError("no")
    for _ in range(2):
        held.service.journal.refuse(held.call(), "created", error)
    assert kinds(held) == ["refused"]
    assert held.service.journal.refusals == {("created", "EPERM"): 1}


def test_a_socket_of_another_is_not_in_the_record_of_who_was_told_that_there_is_none(held: Held):
    theirs = held.tcp(uid=BOB)
    with pytest.raises(UnknownSocketError):
        held.service.operations.listen(held.call(ANN), theirs.reference, 1)
    change = told(held)[-1]
    assert (change.entry, change.reference, change.owner) == (None, theirs.reference, Owner(ANN))


SOMEWHERE = address_text.parse("192.0.2.1:9")
NEAR = address_text.parse(LOOPBACK)
NOT_GRANTED: dict[str, tuple[str, Callable[[Held, str], object]]] = {
    "bind": ("bound", lambda h, ref: h.service.operations.bind(h.call(ANN), ref, NEAR)),
    "connect": ("connected", lambda h, ref: h.service.operations.connect(h.call(ANN), ref, SOMEWHERE, 0)),
    "send": (
        "sent",
        lambda h, ref: h.service.transfers.send(h.call(ANN), ref, [Message(b"x", SOMEWHERE)], 0, 0),
    ),
    "option": ("option_set", lambda h, ref: h.service.operations.set_option(h.call(ANN), ref, "SO_MARK", 1)),
    "create": ("created", lambda h, _: h.make(specification(bind=LOOPBACK), uid=ANN)),
    "name": ("created", lambda h, _: h.tcp(uid=ANN, name="web")),
    "bulk": (
        "created",
        lambda h, _: h.service.sockets.create_many(
            h.call(ANN), specification(), Origin(Owner(ANN), "web"), 2, 1
        ),
    ),
}


@pytest.mark.parametrize(("kind", "do"), NOT_GRANTED.values(), ids=NOT_GRANTED)
def test_what_the_policy_does_not_grant_is_one_record_that_says_what(
    kind: str, do: Callable[[Held, str], object]
):
    held = Held(policies=Fixed(policy('[[rule]]\nname = "ann"\nanyone = true\nfamilies = "*"\ntypes = "*"')))
    try:
        mine = held.make(specification(kind=socket.SOCK_DGRAM), uid=ANN)
        before = held.service.journal.last
        with pytest.raises(NotPermittedError) as caught:
            do(held, mine.reference)
        (record,) = held.service.journal.read(before, KEPT)
        change = decoded(record)
        assert (change.event, change.kind, change.result) == ("refused", kind, caught.value.symbol)
        assert change.reason == str(caught.value)
    finally:
        held.service.close()
