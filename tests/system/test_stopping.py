"""The daemon's end while many have just come: who was accepted is answered, the others end quietly."""

from __future__ import annotations

import os
import re
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.system import hogs

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tests.daemon_process import DaemonProcess

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
CROWD = 500


def stop_in_a_crowd(daemon: DaemonProcess, crowd: list[socket.socket], said: bytes) -> str:
    """Have all of them come at once, and the stop right behind; return the log."""
    worker = daemon.request("GET", "/v1/process").json()["pid"]
    os.kill(worker, signal.SIGSTOP)
    try:
        for _ in range(CROWD):
            crowd.append(hogs.connected(daemon))
            crowd[-1].sendall(said)
        os.kill(worker, signal.SIGTERM)
    finally:
        os.kill(worker, signal.SIGCONT)
    return daemon.stop()


@pytest.mark.parametrize("said", [REQUEST, b"", REQUEST[:9]], ids=["whole", "silent", "half"])
def test_everybody_who_was_accepted_is_served_or_sees_the_end(
    fresh_daemon: Callable[..., DaemonProcess], said: bytes
) -> None:
    with ExitStack() as stack:
        crowd: list[socket.socket] = []
        stack.callback(lambda: [each.close() for each in crowd])
        log = stop_in_a_crowd(fresh_daemon(), crowd, said)
        accepted = re.search(r"stopping: (\d+) connections", log)
        assert accepted is not None, log
        assert "cut off" not in log
        answers = [hogs.await_end(each) for each in crowd]
    answered = sum(each.startswith(b"HTTP/1.1 200") for each in answers)
    # The connection on which the worker's pid was asked for may still count.
    assert answered in ({int(accepted[1]), int(accepted[1]) - 1} - {0} if said == REQUEST else {0})
