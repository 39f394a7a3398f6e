"""Streams whose connection is reset or closed, and those of a daemon that ends."""

from __future__ import annotations

import json
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.system import hogs
from tests.system.place import await_true
from tests.system.streams import INCOMPLETE, Held, curl, held, put_head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon_process import DaemonProcess
    from tests.system.streams import Fresh

__all__ = ["held"]  # a fixture

pytestmark = [pytest.mark.needs("curl"), pytest.mark.timeout(60)]


def test_answer_is_cut_off_where_the_connection_was_reset(daemon: DaemonProcess, held: Held):
    with curl(daemon, held.url) as process:
        assert process.stdout is not None
        held.peer.sendall(b"before")
        assert process.stdout.read(6) == b"before"
        held.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        held.peer.close()
        assert process.wait(60) == INCOMPLETE


def test_resting_upload_hears_of_the_reset(daemon: DaemonProcess, held: Held):
    with curl(daemon, "-T", ".", held.url) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"sent")
        assert held.peer.recv(100) == b"sent"
        held.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        held.peer.close()
        told = json.loads(process.stdout.read())
        assert (told["status"], told["errno"], told["sent"]) == (502, "ECONNRESET", 4)


def test_resting_upload_hears_of_the_close(daemon: DaemonProcess, held: Held):
    with curl(daemon, "-T", ".", held.url) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"sent")
        assert held.peer.recv(100) == b"sent"
        daemon.request("DELETE", f"/v1/sockets/{held.fd}")
        told = json.loads(process.stdout.read())
        assert (told["status"], told["code"], told["sent"]) == (404, "closed_meanwhile", 4)


def test_end_of_the_daemon_cuts_readers_off_and_tells_uploads_how_far_they_came(fresh_daemon: Fresh):
    daemon = fresh_daemon()
    with (
        held_in_stopping(daemon) as (up, down),
        curl(daemon, down.url) as reading,
        hogs.connected(daemon) as client,
        hogs.connected(daemon) as fresh,
    ):
        client.sendall(put_head(up.path, 100) + b"part")
        assert up.peer.recv(100) == b"part"
        fresh.sendall(put_head(down.path, 100))
        await_true(lambda: up.waits() == 3, lambda: "others wait")
        daemon.process.send_signal(signal.SIGTERM)
        status, _, body = hogs.answer(client)
        told = json.loads(body)
        assert (status, told["code"], told["sent"]) == (503, "upload_interrupted", 4)
        status, _, body = hogs.answer(fresh)
        assert (status, json.loads(body)["code"]) == (503, "shutting_down")  # nothing was done
        assert reading.wait(60) == INCOMPLETE
    daemon.check_end()


@contextmanager
def held_in_stopping(daemon: DaemonProcess) -> Iterator[tuple[Held, Held]]:
    """Hold two connections in a daemon that closes them itself."""
    one, other = Held(daemon), Held(daemon)
    with one.peer, other.peer:
        yield one, other
