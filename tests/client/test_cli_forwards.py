"""``socketctl forward`` and ``forwards`` on a real daemon: what they print, and what they exit with."""

from __future__ import annotations

import json
import re
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import Client
from tests.socketctl_process import Started, socketctl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.daemon_process import DaemonProcess

Ends = tuple[socket.socket, socket.socket, list[str]]


@pytest.fixture
def ends(daemon: DaemonProcess) -> Iterator[Ends]:
    """Give the outer ends of two pairs, and the numbers of the inner ones, which are held."""
    left, first = socket.socketpair()
    second, right = socket.socketpair()
    with left, first, second, right, Client(daemon.url) as client:
        left.settimeout(30)
        right.settimeout(30)
        held = client.give(first, second)
        first.close()
        second.close()
        yield left, right, [str(sock.fd) for sock in held]
        for sock in client.sockets.list():
            sock.close()


def ctl(daemon: DaemonProcess, *arguments: str) -> CompletedProcess[str]:
    return socketctl(daemon.url, *arguments)


def detached(daemon: DaemonProcess, numbers: list[str]) -> str:
    done = ctl(daemon, "forward", "-d", *numbers)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch("[0-9a-f]{12}\n", done.stdout)
    return done.stdout.strip()


def test_detached_it_prints_its_id_and_goes_on(daemon: DaemonProcess, ends: Ends):
    left, right, numbers = ends
    identifier = detached(daemon, numbers)
    left.sendall(b"through")
    assert right.recv(100) == b"through"
    stopped = ctl(daemon, "forwards", "stop", identifier)
    first, second = numbers
    expected = f"{identifier}  ended  {first}->{second} 7 bytes  {second}->{first} 0 bytes\n"
    assert (stopped.returncode, stopped.stdout) == (0, expected)


def test_it_waits_for_the_end(daemon: DaemonProcess, ends: Ends, tmp_path: Path):
    left, right, numbers = ends
    waiting = Started(daemon, tmp_path, "forward", *numbers)
    waiting.await_log("joins")
    left.sendall(b"12345")
    left.shutdown(socket.SHUT_WR)
    right.shutdown(socket.SHUT_WR)
    assert waiting.wait() == 0
    assert f"ended  {numbers[0]}->{numbers[1]} 5 bytes" in waiting.log


def test_ctrl_c_stops_it(daemon: DaemonProcess, ends: Ends, tmp_path: Path):
    left, right, numbers = ends
    waiting = Started(daemon, tmp_path, "forward", *numbers, "--on-end", "close")
    waiting.await_log("joins")
    left.sendall(b"12345")
    assert right.recv(100) == b"12345"
    assert waiting.end(signal.SIGINT) == -signal.SIGINT
    assert "ended" in waiting.log
    assert "5 bytes" in waiting.log
    assert ctl(daemon, "show", numbers[0]).returncode == 1


def test_an_error_is_told_and_is_status_1(daemon: DaemonProcess, ends: Ends, tmp_path: Path):
    _, _, numbers = ends
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        fd = ctl(daemon, "create", "-q", "--connect", address).stdout.strip()
        peer, _ = server.accept()
    waiting = Started(daemon, tmp_path, "forward", fd, numbers[0])
    waiting.await_log("joins")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()
    assert waiting.wait() == 1
    assert "ECONNRESET" in waiting.log or "reset" in waiting.log.lower()


def test_list_and_show_are_tables_or_json(daemon: DaemonProcess, ends: Ends):
    identifier = detached(daemon, ends[2])
    found = json.loads(ctl(daemon, "forwards", "list", "--json").stdout)
    mine: dict[str, Any] = next(one for one in found if one["id"] == identifier)
    assert mine["sockets"] == [int(number) for number in ends[2]]
    assert identifier in ctl(daemon, "forwards", "list", "-q").stdout.split()
    row = next(line for line in ctl(daemon, "forwards", "list").stdout.splitlines() if identifier in line)
    assert row.split()[:4] == [identifier, "running", *ends[2]]
    shown = ctl(daemon, "forwards", "show", identifier)
    assert ["id", identifier] in [line.split() for line in shown.stdout.splitlines()]
    stopped = json.loads(ctl(daemon, "forwards", "stop", identifier, "--json").stdout)
    assert (stopped["id"], stopped["state"]) == (identifier, "ended")
    assert identifier not in ctl(daemon, "forwards", "list", "-q").stdout.split()


def test_what_cannot_be_joined_is_status_1_with_its_errno(daemon: DaemonProcess, ends: Ends):
    _, _, (first, second) = ends
    fresh = ctl(daemon, "create", "-q").stdout.strip()
    for arguments, symbol in (((first, fresh), "ENOTCONN"), ((first, first), "EINVAL")):
        done = ctl(daemon, "forward", *arguments)
        assert done.returncode == 1
        assert symbol in done.stderr
    identifier = detached(daemon, [first, second])
    assert "EBUSY" in ctl(daemon, "forward", first, second).stderr
    ctl(daemon, "forwards", "stop", identifier)
    done = ctl(daemon, "forwards", "stop", "000000000000")
    assert (done.returncode, "ENOENT" in done.stderr) == (1, True)


def test_events_tell_of_it_in_a_line(daemon: DaemonProcess, ends: Ends):
    identifier = detached(daemon, ends[2])
    ctl(daemon, "forwards", "stop", identifier)
    lines = ctl(daemon, "events", "--after", "0", "--timeout", "0").stdout.splitlines()
    mine = [line for line in lines if f"by {identifier}" in line]
    assert [line.split()[1] for line in mine] == ["forward_started"] * 2 + ["forward_ended"] * 2


def test_ids_are_completed(daemon: DaemonProcess, ends: Ends):
    identifier = detached(daemon, ends[2])
    words = f"socketctl forwards stop {identifier[:6]}"
    extra = {"_SOCKETCTL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "3"}
    assert socketctl(daemon.url, extra=extra).stdout.split() == [f"plain,{identifier}"]
