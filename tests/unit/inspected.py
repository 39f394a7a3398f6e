"""The state of a held socket as it is shown, and the kinds of Unix sockets that listen."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from socketd.inspection import STATES, View

if TYPE_CHECKING:
    from socketd.core.entry import Entry

RD, WR, RDWR = socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR


def state(entry: Entry) -> str:
    found = View(entry).state
    assert found in STATES
    return found


@pytest.fixture(params=[socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def unix_kind(request: pytest.FixtureRequest) -> int:
    """Name the kinds of Unix sockets that listen."""
    kind: int = request.param
    return kind
