"""A relay that has nothing to do sleeps, whatever the kernel tells unasked of its held socket."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from socketd.core.owner import Owner
from socketd.core.polling import POLLERR, now
from socketd.core.relaying import Relay
from socketd.core.table import Origin
from socketd.runtime.line import PlainLine
from tests.held import Held
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd.core.seams import Pause

TIMESTAMPS = 37, 2 | 16  # SO_TIMESTAMPING: SOF_TIMESTAMPING_TX_SOFTWARE and SOF_TIMESTAMPING_SOFTWARE
A_WHILE_S = 0.2
FEW = 20


class Counted:
    """A pause that counts how often it was waited for."""

    def __init__(self, pause: Pause) -> None:
        self._pause = pause
        self.arm, self.disarm, self.ring = pause.arm, pause.disarm, pause.ring
        self.count = 0

    def wait(self, deadline: float) -> bool:
        self.count += 1
        return self._pause.wait(deadline)


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.service.close()


def test_timestamp_that_nobody_reads_is_no_work(held):
    far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client, server = socket.socketpair()
    with far, client, server:
        far.settimeout(30)
        far.bind(("127.0.0.1", 0))
        near.connect(far.getsockname())
        near.setsockopt(socket.SOL_SOCKET, *TIMESTAMPS)
        entry = held.table.adopt(near.detach(), Origin(Owner(0)))
        line, waiter = PlainLine(server, b""), PollWaiter()
        relay = Relay(line, entry, waiter, os.close)
        with waiter.pause() as pause:
            counted = Counted(pause)
            thread = threading.Thread(target=relay.run, args=(counted,))
            thread.start()
            client.sendall(b"one")
            assert far.recv(10) == b"one"
            assert now(entry.fd, 0) & POLLERR
            threading.Event().wait(A_WHILE_S)
            assert counted.count < FEW
            client.sendall(b"two")
            assert far.recv(10) == b"two"
            far.sendto(b"three", entry.sock.getsockname())
            client.settimeout(30)
            assert client.recv(10) == b"three"
            relay.stop()
            thread.join(30)
        line.close()
