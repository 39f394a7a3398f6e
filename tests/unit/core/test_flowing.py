"""A socket whose bytes a flow moves is busy for every other call, and its close stops the flow."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from socketd.core import connecting, receiving, transfer
from socketd.core.address import UNSPEC
from socketd.core.receiving import Wanted
from socketd.core.transfer import Outgoing
from socketd.errors import BusyError, ClosedMeanwhileError
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from socketd.core.entry import Entry
    from socketd.core.pumping import Ending
    from tests.held import Held

BYTES = Wanted(100, 0, 1, 1000)


class StoppedFlow:
    """One that moves nothing, and notes that it was stopped."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.stops = 0

    @property
    def moved(self) -> tuple[int, int]:
        return (0, 0)

    @property
    def ending(self) -> Ending | None:
        return None

    def finish(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Count it, and let the socket go."""
        os.fstat(self.entry.fd)  # it is open still
        self.stops += 1
        self.entry.flow = None


def flowing(entry: Entry) -> StoppedFlow:
    entry.flow = flow = StoppedFlow(entry)
    return flow


@pytest.mark.parametrize("timeout_s", [0.0, 10.0])
def test_recv_of_a_flowing_socket_is_busy(held: Held, timeout_s: float):
    left, right = held.pair()
    right.sock.send(b"for the flow")
    flowing(left)
    with pytest.raises(BusyError, match="part of a tunnel or forward") as caught:
        receiving.receive(left, BYTES, held.patience(timeout_s))
    assert (caught.value.symbol, caught.value.subject) == ("EBUSY", left.reference)
    assert left.sock.recv(100, socket.MSG_PEEK) == b"for the flow"


def test_recv_that_waits_when_the_flow_begins_is_busy_and_takes_nothing(held: Held):
    left, right = held.pair()
    waiter = PollWaiter()
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(receiving.receive, left, BYTES, held.patience(30.0, waiter))
        waiter.await_waiting()
        flowing(left)
        right.sock.send(b"for the flow")
        with pytest.raises(BusyError):
            waiting.result(30.0)
    assert left.sock.recv(100) == b"for the flow"


def test_connect_of_a_flowing_socket_is_busy(held: Held):
    near, _ = held.connection()
    flowing(near)
    with pytest.raises(BusyError):
        connecting.connect(near, UNSPEC, held.patience())


def test_accept_and_send_are_busy(held: Held):
    left, _ = held.pair()
    flowing(left)
    with pytest.raises(BusyError):
        transfer.send(left, [Outgoing(b"x")], 0, held.patience())
    listener = held.listener()
    flowing(listener)
    with pytest.raises(BusyError):
        held.service.sockets.accept(held.call(), listener.reference, 1.0, 1, None)


def test_close_stops_the_flow_before_the_descriptor_goes(held: Held):
    left, _ = held.pair()
    flow = flowing(left)
    held.table.close(left)
    assert (flow.stops, left.closed) == (1, True)
    with pytest.raises(ClosedMeanwhileError):
        held.table.close(left)


def test_spliced_socket_does_not_wait_unless_a_program_has_it_blocking(held: Held):
    left, right = held.pair()
    for each in (left, right):
        os.set_blocking(each.fd, True)
    right.is_blocking = True
    left.be_spliced()
    right.be_spliced()
    assert (os.get_blocking(left.fd), os.get_blocking(right.fd)) == (False, True)


def test_note_tells_what_is_on_its_way(held: Held):
    left, _ = held.pair()
    assert not left.note().forwarded
    left.forwarded = True
    assert left.note().forwarded
