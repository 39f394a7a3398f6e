"""A name server that does not answer keeps only those waiting who ask it, and these for a bounded time."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.system import hogs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.daemon_process import Answer, DaemonProcess

    Fresh = Callable[..., DaemonProcess]

SILENT = "127.77.53.1"
MOUNTED = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
MANY = 40
"""More than there are threads for look-ups."""


@pytest.mark.needs("unshare", "mount")
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a resolv.conf needs root")
@pytest.mark.timeout(180)
def test_silent_name_server_is_504_and_stops_nobody(fresh_daemon: Fresh, tmp_path: Path) -> None:
    resolv = tmp_path / "resolv.conf"
    resolv.write_text(f"nameserver {SILENT}\noptions timeout:5 attempts:1\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((SILENT, 53))
        launcher = ["unshare", "--mount", "sh", "-c", MOUNTED, str(resolv)]
        daemon = fresh_daemon("--default-timeout-s", "1", launcher=launcher)
        told: list[Answer] = []

        def ask(number: int) -> None:
            told.append(daemon.request("GET", f"/v1/addrinfo?host=h{number}.example"))

        asking = [threading.Thread(target=ask, args=(number,)) for number in range(MANY)]
        for each in asking:
            each.start()
        silent.recv(512)  # now one of them is under way
        hogs.check_served(daemon)
        assert daemon.request("GET", "/v1/addrinfo?host=127.0.0.1&service=80").status == 200
        for each in asking:
            each.join()
        assert {(each.status, each.json()["errno"]) for each in told} == {(504, "ETIMEDOUT")}
        daemon.stop()
