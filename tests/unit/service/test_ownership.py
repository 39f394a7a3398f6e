"""Somebody else's socket answers as a missing one, and a stale If-Match changes nothing, in every call."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from socketd.access.caller import user_name
from socketd.core import address_text
from socketd.core.owner import Owner
from socketd.core.receiving import Wanted
from socketd.errors import (
    NameTakenError,
    SocketdError,
    StaleError,
    UnknownDescriptorError,
    UnknownSocketError,
)
from socketd.service.attaching import Message
from socketd.service.listing import Filter
from tests.held import ANN, BOB, LOOPBACK, ROOT, Held

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.service import Call, Service

    Do = Callable[[Service, Call, str], object]

EVERYWHERE = address_text.parse(LOOPBACK)
EVERY_CALL: dict[str, Do] = {
    "get": lambda s, c, ref: s.sockets.get(c, ref),
    "accept": lambda s, c, ref: s.sockets.accept(c, ref, 0, 1, None),
    "close": lambda s, c, ref: s.sockets.close(c, ref, shut_duplicates=False),
    "shut": lambda s, c, ref: s.sockets.close(c, ref, shut_duplicates=True),
    "bind": lambda s, c, ref: s.operations.bind(c, ref, EVERYWHERE),
    "listen": lambda s, c, ref: s.operations.listen(c, ref, 1),
    "connect": lambda s, c, ref: s.operations.connect(c, ref, EVERYWHERE, 0),
    "shutdown": lambda s, c, ref: s.operations.shutdown(c, ref, socket.SHUT_RDWR),
    "info": lambda s, c, ref: s.operations.info(c, ref),
    "get_option": lambda s, c, ref: s.operations.get_option(c, ref, "SO_TYPE", None),
    "set_option": lambda s, c, ref: s.operations.set_option(c, ref, "SO_MARK", 1),
    "list_options": lambda s, c, ref: s.operations.list_options(c, ref),
    "send": lambda s, c, ref: s.transfers.send(c, ref, [Message(b"x")], 0, 0),
    "receive": lambda s, c, ref: s.transfers.receive(c, ref, Wanted(1), 0),
}


def refusal(do: Do, held: Held, call: Call, reference: str) -> SocketdError:
    with pytest.raises(UnknownSocketError) as caught:
        do(held.service, call, reference)
    return caught.value


@pytest.mark.parametrize("do", EVERY_CALL.values(), ids=EVERY_CALL)
def test_anothers_socket_answers_exactly_as_a_missing_one(held: Held, do: Do):
    theirs = held.tcp(uid=BOB, name="web")
    reference = theirs.reference
    known = [refusal(do, held, held.call(ANN), each) for each in (reference, "web")]
    assert not theirs.closed
    held.table.close(theirs)
    missing = [refusal(do, held, held.call(ANN), each) for each in (reference, "web")]
    for one, other in zip(known, missing, strict=True):
        assert (str(one), one.symbol, one.hint, one.subject) == (
            str(other),
            other.symbol,
            other.hint,
            other.subject,
        )


@pytest.mark.parametrize("do", EVERY_CALL.values(), ids=EVERY_CALL)
@pytest.mark.parametrize("expected", [frozenset({1}), frozenset()])
def test_a_stale_if_match_is_refused_before_anything_is_done(held: Held, do: Do, expected: frozenset[int]):
    entry = held.listener(uid=ANN)
    with pytest.raises(StaleError) as caught:
        do(held.service, held.call(ANN, expected=expected), entry.reference)
    assert (caught.value.symbol, caught.value.subject) == ("ESTALE", entry.reference)
    assert not entry.closed


def test_anothers_socket_is_missing_though_if_match_names_it(held: Held):
    theirs = held.tcp(uid=BOB)
    call = held.call(ANN, expected=frozenset({theirs.cookie}))
    with pytest.raises(UnknownSocketError):
        held.service.sockets.get(call, theirs.reference)


def test_an_if_match_that_names_it_among_others_passes(held: Held):
    entry = held.tcp(uid=ANN)
    call = held.call(ANN, expected=frozenset({1, entry.cookie}))
    assert held.service.sockets.get(call, entry.reference) is entry


def test_anothers_socket_is_polled_as_one_that_does_not_exist(held: Held):
    theirs = held.tcp(uid=BOB)
    pollnval = 0x020
    for reference in (theirs.reference, "999999"):
        assert held.service.transfers.poll(held.call(ANN), [(reference, 1)], 1) == [(0, None, pollnval)]


def test_anothers_sockets_are_neither_listed_nor_counted(held: Held):
    ours, theirs = held.tcp(uid=ANN), held.tcp(uid=BOB)
    sockets = held.service.sockets
    assert sockets.page(held.call(ANN), Filter(), 0, 10).entries == (ours,)
    assert sockets.page(held.call(ANN), Filter(owner=Owner(BOB)), 0, 10).entries == ()
    assert sockets.count(held.call(ANN)) == 1
    assert sockets.page(held.call(ROOT), Filter(), 0, 10).entries == (ours, theirs)
    assert sockets.count(held.call(ROOT)) == 2


def test_anothers_descriptor_answers_as_one_that_is_not_open(held: Held):
    ours, theirs = held.tcp(uid=ANN), held.tcp(uid=BOB)
    host = held.service.host
    with pytest.raises(UnknownDescriptorError) as known:
        host.descriptor(held.call(ANN), theirs.fd)
    held.table.close(theirs)
    with pytest.raises(UnknownDescriptorError) as missing:
        host.descriptor(held.call(ANN), theirs.fd)
    assert str(known.value) == str(missing.value)
    link, fdinfo = host.descriptor(held.call(ANN), ours.fd)
    assert (link, fdinfo.ino) == (f"socket:[{ours.inode}]", ours.inode)


def test_only_ones_own_sockets_are_among_the_descriptors(held: Held):
    ours, theirs = held.tcp(uid=ANN), held.tcp(uid=BOB)
    seen = {row.descriptor.fd: row.entry for row in held.service.host.descriptors(held.call(ANN))}
    assert seen == {ours.fd: ours}
    all_of_them = {row.descriptor.fd: row.entry for row in held.service.host.descriptors(held.call(ROOT))}
    assert (all_of_them[ours.fd], all_of_them[theirs.fd], all_of_them[0]) == (ours, theirs, None)


def test_what_the_daemon_opened_for_itself_is_its_own_users(held: Held):
    """Other callers' connections to the API are among it, and descriptors that are being passed."""
    host = held.service.host
    with socket.socket() as passing:
        with pytest.raises(UnknownDescriptorError) as known:
            host.descriptor(held.call(ANN), passing.fileno())
        for call in (held.call(ROOT), held.call(os.getuid())):
            assert host.descriptor(call, passing.fileno())[0].startswith("socket:")
            assert passing.fileno() in {row.descriptor.fd for row in host.descriptors(call)}
        closed = passing.fileno()
    with pytest.raises(UnknownDescriptorError) as missing:
        host.descriptor(held.call(ANN), closed)
    assert str(known.value) == str(missing.value)


def test_a_name_of_somebody_else_is_taken(held: Held):
    held.tcp(uid=BOB, name="web")
    with pytest.raises(NameTakenError):
        held.tcp(uid=ANN, name="web")


def test_what_is_accepted_belongs_to_who_accepts(held: Held):
    listener = held.listener(uid=ANN)
    with socket.create_connection(listener.sock.getsockname()):
        (accepted,) = held.service.sockets.accept(held.call(ANN), listener.reference, 1, 1, None)
    assert (accepted.owner, accepted.accepted_from) == (Owner(ANN), listener.fd)


@pytest.mark.parametrize(
    ("uid", "owner", "may"), [(ANN, ANN, True), (ANN, BOB, False), (ANN, ROOT, False), (ROOT, ANN, True)]
)
def test_callers_see_their_own_and_root_sees_all(held: Held, uid: int, owner: int, may: bool):  # noqa: FBT001 (a table)
    assert held.call(uid).may_see(Owner(owner)) is may


def test_users_have_names_where_the_host_knows_them():
    assert user_name(0) == "root"
    assert user_name(4_000_000_000) is None
    assert user_name(2**40) is None
