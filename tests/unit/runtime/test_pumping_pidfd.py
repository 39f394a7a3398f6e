"""What the kernel sends along with the bytes of a Unix socket, unasked by us: none of it stays open."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.unit.runtime.flows import Joined, pump, read, sockets, tcp

if TYPE_CHECKING:
    from contextlib import ExitStack

    from socketd.runtime.pumping.pump import SplicePump

__all__ = ["pump", "sockets"]  # fixtures
SO_PASSPIDFD = 76  # include/uapi/asm-generic/socket.h, Linux 6.5
ROUNDS = 20


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no Path object per descriptor


@pytest.mark.parametrize("option", [SO_PASSPIDFD, socket.SO_PASSCRED])
def test_descriptor_of_the_sender_is_closed(pump: SplicePump, sockets: ExitStack, option: int):
    first, second = socket.socketpair(), tcp()
    for each in (*first, *second):
        sockets.enter_context(closing(each))
    try:
        first[1].setsockopt(socket.SOL_SOCKET, option, 1)
    except OSError:
        pytest.skip("this kernel does not know the option")
    joined = Joined(pump, *first, *second)
    joined.begin()
    joined.a.sendall(b"x")
    assert read(joined.b, 1) == b"x"
    before = descriptors()
    for _ in range(ROUNDS):
        joined.a.sendall(b"x")
        assert read(joined.b, 1) == b"x"
    assert descriptors() < before + ROUNDS
