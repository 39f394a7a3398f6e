"""Receiving from a held socket, as the tests of it ask."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from socketd.core import receiving
from socketd.core.receiving import Wanted

if TYPE_CHECKING:
    from socketd.core.entry import Entry
    from socketd.core.receiving import Received
    from tests.held import Held

MESSAGE_KINDS = [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET]
TRUNC, PEEK, WAITALL, OOB = socket.MSG_TRUNC, socket.MSG_PEEK, socket.MSG_WAITALL, socket.MSG_OOB


def receive(
    held: Held, entry: Entry, size: int = 100, flags: int = 0, most: int = 1, timeout_s: float = 10.0
) -> Received:
    return receiving.receive(entry, Wanted(size, flags, most, 1 << 20), held.patience(timeout_s))


def data_of(got: Received) -> list[bytes]:
    return [message.data for message in got.messages]
