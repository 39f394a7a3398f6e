"""Who stops a flow waits for one turn of the others, and not for one of each: it is the loop that waits."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from typing import TYPE_CHECKING

from socketd.runtime.pumping.direction import TURN_BYTES
from tests.unit.runtime.flows import pump, sockets

if TYPE_CHECKING:
    from contextlib import ExitStack

    from socketd.runtime.pumping.pump import SplicePump

__all__ = ["pump", "sockets"]  # fixtures
RINGS, STOPPED = 24, 12
MOST_TURNS = 6  # the one that runs, and what is moved while we look


def test_a_stop_comes_between_two_turns(pump: SplicePump, sockets: ExitStack):
    flows = []
    for _ in range(RINGS):
        left, right = (sockets.enter_context(closing(each)) for each in socket.socketpair())
        for each in (left, right):  # joined with each other they move the same bytes for ever
            os.set_blocking(each.fileno(), False)
            each.send(bytes(60_000))
        flows.append(pump.join(left.fileno(), right.fileno(), lambda: None))
    meanwhile = 0
    for flow in flows[:STOPPED]:
        others = [each for each in flows if each is not flow]
        before = sum(sum(each.moved) for each in others)
        flow.stop()
        meanwhile += sum(sum(each.moved) for each in others) - before
    assert meanwhile / STOPPED < MOST_TURNS * TURN_BYTES
