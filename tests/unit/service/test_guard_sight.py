"""What of others a caller comes to see or to reach, whatever else it is granted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from socketd.core import address_text
from socketd.errors import KernelRefusedError, SocketdError, UnknownSocketError
from socketd.service.donation import Offer
from socketd.service.guard import Fixed
from tests.held import ANN, ROOT, Held, specification
from tests.policies import policy
from tests.unit.service.narrow_policy import NARROW, held

if TYPE_CHECKING:
    from typing import Any

__all__ = ["held"]  # a fixture


def test_the_daemons_own_processes_are_not_copied_from():
    held = Held(policies=Fixed(policy(NARROW)))
    try:
        with pytest.raises(KernelRefusedError):
            held.service.passing.give_from(held.call(ROOT), 2**22 + 1, 0, Offer())
    finally:
        held.service.close()


def test_who_has_a_port_is_told_to_those_only_who_see_all(held: Held):
    taken = held.listener(uid=ROOT)
    where = address_text.text(address_text_of(taken))
    told = {}
    for uid in (ANN, ROOT):
        with pytest.raises(KernelRefusedError) as caught:
            held.make(specification(bind=where), uid=uid)
        told[uid] = str(caught.value.hint)
    assert "inode" in told[ROOT]
    assert "inode" not in told[ANN]
    assert "uid" not in told[ANN]


def address_text_of(entry: Any) -> Any:
    host, port = entry.sock.getsockname()
    return address_text.parse(f"{host}:{port}")


def test_anothers_socket_is_missing_also_to_who_may_everything_else(held: Held):
    theirs = held.tcp(uid=ROOT)
    for refer in (theirs.reference, "64"):
        with pytest.raises(UnknownSocketError) as caught:
            held.service.operations.bind(held.call(ANN), refer, address_text.parse("0.0.0.0:1"))
        assert str(caught.value) == f"no held socket {refer!r}"


def test_a_narrower_policy_is_in_force_for_sockets_that_are_there():
    class Replaceable:
        policy = policy(NARROW)

    source = Replaceable()
    held = Held(policies=source)
    try:
        entry = held.tcp(uid=ANN)
        source.policy = policy("")
        with pytest.raises(SocketdError):
            held.service.operations.bind(held.call(ANN), entry.reference, address_text.parse("127.0.0.1:0"))
        assert held.service.sockets.get(held.call(ANN), entry.reference) is entry
    finally:
        held.service.close()
