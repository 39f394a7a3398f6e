"""Descriptors that come in messages to a real daemon: nobody waits for the closing of one that lingers."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest

from socketd_client import Client
from tests.system import hogs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.daemon_process import DaemonProcess

    Fresh = Callable[..., DaemonProcess]

LONG_S = 200
"""Longer than the test may take: a close on the loop would be seen, whatever the machine does."""

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("flags", ["", "&flags=MSG_TRUNC"])
def test_lingering_descriptor_that_nobody_asked_for_is_closed_aside(fresh_daemon: Fresh, flags: str) -> None:
    daemon = fresh_daemon()
    ours, theirs = socket.socketpair()
    with ours, Client(daemon.url) as client, hogs.lingering(LONG_S) as sender:
        with theirs:
            held = client.give(theirs)
        socket.send_fds(ours, [b"x"], [sender.fileno()])
        sender.close()  # the last one is on its way
        answer = daemon.request("POST", f"/v1/sockets/{held.fd}/recv?size=10{flags}")
        assert (answer.body, "MSG_CTRUNC" in answer.headers["Socket-Flags"]) == (b"x", True)
        hogs.check_served(daemon)
        held.close()
    daemon.stop()


def test_lingering_descriptor_that_does_not_fit_is_closed_aside(fresh_daemon: Fresh) -> None:
    daemon = fresh_daemon()
    ours, theirs = socket.socketpair()
    with ours, Client(daemon.url) as client, hogs.lingering(LONG_S) as sender, socket.socket() as first:
        with theirs:
            held = client.give(theirs)
        socket.send_fds(ours, [b"x"], [first.fileno(), sender.fileno()])
        sender.close()
        data, ancdata, flags, _ = held.recvmsg(10, socket.CMSG_LEN(4))
        assert (data, flags) == (b"x", socket.MSG_CTRUNC)
        hogs.check_served(daemon)
        for descriptor in ancdata:
            socket.socket(fileno=int.from_bytes(descriptor[2], sys.byteorder)).close()
        held.close()
    daemon.stop()
