"""A ``close(2)`` that waits, for SO_LINGER, keeps nobody else waiting, however it came about."""

from __future__ import annotations

import socket
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


def test_lingering_socket_is_closed_aside(fresh_daemon: Fresh) -> None:
    daemon = fresh_daemon()
    made = daemon.request("POST", "/v1/sockets", {"family": "inet", "type": "stream"}).json()
    path = f"/v1/sockets/{made['fd']}"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        linger = {"value": {"enabled": True, "seconds": LONG_S}}
        assert daemon.request("PUT", f"{path}/options/SO_LINGER", linger).status == 200
        address = {"address": "{}:{}".format(*listener.getsockname())}
        assert daemon.request("POST", f"{path}/connect", address).status == 200
        deaf, _ = listener.accept()
        with deaf:
            raw = {"Content-Type": "application/octet-stream"}
            sent = daemon.request("POST", f"{path}/send?timeout=0", b"x" * (8 << 20), raw).json()
            assert not sent["complete"]
            assert daemon.request("DELETE", path).status == 204
            hogs.check_served(daemon)
            # What was sent still comes, and the end after it: that is what lingering is about.
            got = 0
            while part := deaf.recv(1 << 20):
                got += len(part)
            assert got == sent["sent"]
    daemon.stop()


def test_given_socket_that_lingers_is_closed_aside(fresh_daemon: Fresh) -> None:
    daemon = fresh_daemon()
    with hogs.lingering(LONG_S) as sender, Client(daemon.url) as client:
        held = client.give(sender)
        sender.close()  # the daemon's is the last one
        held.close()
        hogs.check_served(daemon)
    daemon.stop()


def test_descriptors_in_a_held_queue_are_closed_aside(fresh_daemon: Fresh) -> None:
    daemon = fresh_daemon()
    ours, theirs = socket.socketpair()
    with ours, Client(daemon.url) as client:
        with theirs:
            held = client.give(theirs)
        with hogs.lingering(LONG_S) as sender:
            socket.send_fds(ours, [b"x"], [sender.fileno()])
            sender.close()  # the last one is on its way
            held.close()
            hogs.check_served(daemon)
    daemon.stop()


def test_memberships_beyond_the_kernels_bound_are_503(fresh_daemon: Fresh) -> None:
    """ENOBUFS as anybody can have it: igmp_max_memberships bounds the groups of one socket."""
    daemon = fresh_daemon()
    made = daemon.request("POST", "/v1/sockets", {"family": "inet", "type": "dgram"}).json()
    joining = f"/v1/sockets/{made['fd']}/options/IP_ADD_MEMBERSHIP"
    for group in range(1, 1001):
        member = {"group": f"239.1.{group // 250}.{group % 250 + 1}", "address": "127.0.0.1"}
        told = daemon.request("PUT", joining, {"value": member})
        if told.status != 200:
            break
    hogs.check_hungry(told, "ENOBUFS")
    assert daemon.request("DELETE", f"/v1/sockets/{made['fd']}").status == 204
    hogs.check_served(daemon)
    daemon.stop()
