"""A steady stream of connects and transfers while what serves them is killed again and again."""

from __future__ import annotations

import os
import random
import secrets
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from tests.soak import IS_SOAK
from tests.system.deaths import Death, await_others
from tests.system.supervised import Supervised
from tests.system.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

KILLS = 200 if IS_SOAK else 10
CALM_S = 0.3  # the longest time between one daemon's first answer and its death


def killing(*names: str) -> Callable[[Supervised], None]:
    return lambda house: house.signal(signal.SIGKILL, *names)


# Not daemon and keeper at once: a connection that is just being accepted has only these two copies.
DEATHS = {
    "worker": Death(killing("worker"), {"worker"}),
    "master": Death(killing("master"), {"master", "worker"}),
    "daemon": Death(killing("worker", "master"), {"master", "worker"}),
    "keeper": Death(killing("keeper"), {"keeper"}),
    "replacement": Death(lambda house: house.process.send_signal(signal.SIGUSR1), {"master", "worker"}),
}


def strike(house: Supervised, traffic: Traffic, rng: random.Random) -> list[str]:
    """Kill at random times until it is enough or something is lost; return what died, in order."""
    died: list[str] = []
    while len(died) < KILLS and not traffic.failures:
        threading.Event().wait(rng.random() * CALM_S)
        died.append(rng.choice(list(DEATHS)))
        death, before = DEATHS[died[-1]], house.processes()
        death.strike(house)
        await_others(house, before, death.struck)
        house.await_up()
    return died


@pytest.mark.timeout(120 + 10 * KILLS)
def test_storm_of_kills_loses_and_doubles_nothing(tmp_path_factory):
    seed = int(os.environ.get("SOCKETD_STORM_SEED") or secrets.randbits(32))
    house = Supervised(tmp_path_factory.mktemp("storm"))
    traffic = Traffic(house.place, seed)
    try:
        house.await_up()
        traffic.start()
        died = strike(house, traffic, random.Random(seed))
        traffic.finish()
        told = f"SOCKETD_STORM_SEED={seed}, {len(traffic.visits)} visitors, died: {died}\n{house.log}"
        assert (traffic.failures, traffic.lost, traffic.doubled) == ([], set(), set()), told
        house.stop()
    finally:
        traffic.finish()
        house.kill()
