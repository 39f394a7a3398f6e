"""Streams may rest: longer than a request or an answer, as one wait, within the bound that was asked for."""

from __future__ import annotations

import json
import os
import re
import select
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.system import hogs
from tests.system.place import await_true
from tests.system.streams import INCOMPLETE, SHORT, curl, held, held_in, pass_request_timeout, put_head

if TYPE_CHECKING:
    from tests.daemon_process import DaemonProcess
    from tests.system.streams import Fresh, Held

__all__ = ["held"]  # a fixture

pytestmark = [pytest.mark.needs("curl"), pytest.mark.timeout(60)]


def test_bytes_go_as_they_come_and_may_rest_longer_than_a_request(fresh_daemon: Fresh):
    daemon = fresh_daemon(*SHORT)
    with held_in(daemon) as held, curl(daemon, "-T", ".", held.url) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for piece in (b"typed", b"after a rest", b"and another"):
            process.stdin.write(piece)
            assert held.peer.recv(100) == piece
            pass_request_timeout(daemon)
        process.stdin.close()
        assert json.loads(process.stdout.read()) == {"sent": 28, "complete": True}
    daemon.stop()


def test_reader_may_rest_longer_than_an_answer(fresh_daemon: Fresh):
    daemon, data = fresh_daemon(*SHORT), os.urandom(20_000_000)
    with held_in(daemon) as held, hogs.connected(daemon) as client:
        client.sendall(f"GET {held.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        sending = threading.Thread(target=lambda: (held.peer.sendall(data), held.peer.close()))
        sending.start()
        pass_request_timeout(daemon)
        status, _, body = hogs.answer(client)
        sending.join()
        assert (status, body == data) == (200, True)
    daemon.stop()


def test_stream_is_one_wait(daemon: DaemonProcess, held: Held):
    with curl(daemon, held.url):
        await_true(lambda: held.waits() == 1, lambda: "others wait")
    await_true(lambda: held.waits() == 0, lambda: "others wait")


def test_nothing_is_taken_for_a_reader_that_left(daemon: DaemonProcess, held: Held):
    with curl(daemon, held.url) as process:
        await_true(lambda: held.waits() == 1, lambda: "others wait")
        process.kill()
        await_true(lambda: held.waits() == 0, lambda: "others wait")
    held.peer.sendall(b"kept")
    told = daemon.request("POST", f"/v1/sockets/{held.fd}/recv", {"timeout": 10}, {"Accept": "*/*"})
    assert told.body == b"kept"


def test_idle_bound_ends_both(daemon: DaemonProcess, held: Held):
    with curl(daemon, f"{held.url}?timeout=0.05") as process:
        assert process.wait(60) == INCOMPLETE
    with hogs.connected(daemon) as client:
        client.sendall(put_head(f"{held.path}?timeout=0.05", 1 << 30))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012 - it ends when it is full
            for _ in range(1 << 14):
                client.sendall(bytes(1 << 16))
                if select.select([client], [], [], 0)[0]:
                    assert hogs.answer(client)[0] == 504
                    raise BrokenPipeError


@pytest.mark.needs("ss")
def test_client_behind_tcp_is_probed_while_it_rests(fresh_daemon: Fresh):
    daemon = fresh_daemon("--tcp", "127.0.0.1:0", environ={"SOCKETD_TOKEN": "a-token"})
    found = re.search(r"http://127\.0\.0\.1:([0-9]+)", daemon.log)
    assert found is not None
    with held_in(daemon) as held, socket.create_connection(("127.0.0.1", int(found[1]))) as client:
        head = f"GET {held.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a-token\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        shown = subprocess.run(
            ["ss", "-tnoH", f"sport = :{found[1]}"], capture_output=True, text=True, timeout=60, check=True
        )
        assert "timer:(keepalive" in shown.stdout
    daemon.stop()
