"""Nobody has more sockets, waiting calls or requests than the quota."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from socketd.core.owner import Owner
from socketd.core.table import Origin
from socketd.errors import QuotaError
from socketd.service.rates import Rates
from tests.held import ANN, BOB, ROOT, ManualClock, specification
from tests.policies import policy
from tests.unit.service.asked import made_by
from tests.unit.service.kernel_state import kernel_state
from tests.unit.service.narrow_policy import NARROW, held

if TYPE_CHECKING:
    from tests.held import Held

__all__ = ["held"]  # a fixture


def test_no_more_sockets_than_the_quota(held: Held):
    made = [held.tcp(uid=ANN) for _ in range(3)]
    before = kernel_state()
    for act in (
        made_by(),
        lambda h, c: h.service.sockets.pair(c, socket.AF_UNIX, socket.SOCK_STREAM, 0, (None, None)),
    ):
        with pytest.raises(QuotaError) as caught:
            act(held, held.call(ANN))
        assert caught.value.symbol == "EDQUOT"
    assert kernel_state() == before
    held.tcp(uid=ROOT)
    held.table.close(made[0])
    held.tcp(uid=ANN)


def test_of_many_sockets_none_is_made_if_not_all_have_room(held: Held):
    with pytest.raises(QuotaError):
        held.service.sockets.create_many(held.call(ANN), specification(), Origin(Owner(ANN)), 4, 1.0)
    assert held.table.tally.of(Owner(ANN)) == 0


def test_nothing_is_accepted_that_has_no_room(held: Held):
    listener = held.listener(uid=ANN)
    held.tcp(uid=ANN)
    held.tcp(uid=ANN)
    with socket.create_connection(listener.sock.getsockname()) as near:
        with pytest.raises(QuotaError):
            held.service.sockets.accept(held.call(ANN), listener.reference, 1.0, 1, None)
        held.table.close(held.table.entries()[-1])
        (far,) = held.service.sockets.accept(held.call(ANN), listener.reference, 10.0, 1, None)
        assert far.sock.getpeername() == near.getsockname()


def test_requests_come_as_often_as_granted():
    clock = ManualClock()
    rates, quota = Rates(clock), policy(NARROW).document.rules[0].quota
    none = policy("").total
    for _ in range(2):
        rates.count(Owner(ANN), quota, none)
    with pytest.raises(QuotaError) as caught:
        rates.count(Owner(ANN), quota, none)
    assert caught.value.retry_after_s == 1
    rates.count(Owner(BOB), quota, none)
    clock.now += 0.5
    rates.count(Owner(ANN), quota, none)
    with pytest.raises(QuotaError):
        rates.count(Owner(ANN), quota, none)
    clock.now += 1e6  # no more than a burst is saved up
    for _ in range(2):
        rates.count(Owner(ANN), quota, none)
    with pytest.raises(QuotaError):
        rates.count(Owner(ANN), quota, none)


def test_requests_of_all_together_are_bounded():
    rates, total = Rates(ManualClock()), policy("[total]\nrequests_per_s = 1").total
    none = policy("").total
    rates.count(Owner(ANN), none, total)
    with pytest.raises(QuotaError):
        rates.count(Owner(BOB), none, total)


def test_no_more_calls_wait_than_the_quota(held: Held):
    caller = held.call(ANN).caller
    waiter = held.service.guard.waiter(caller, held.waiter)
    with waiter.pause():
        assert held.service.guard.used(caller.owner)["waits"] == 1
        with pytest.raises(QuotaError), held.service.guard.waiter(caller, held.waiter).pause():
            pass
        with held.service.guard.waiter(held.call(ROOT).caller, held.waiter).pause():
            pass
    assert held.service.guard.used(caller.owner)["waits"] == 0
