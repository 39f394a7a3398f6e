"""A program that gevent has patched: held sockets let its other greenlets run while they wait."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import socketd_client

if TYPE_CHECKING:
    from socketd_client import Client

BOUND_S = 60.0
PROGRAM = """
from gevent import monkey

monkey.patch_all()

import socket, ssl, sys

import gevent

from socketd_client import Client, Socket, installed

with Client(sys.argv[1]) as client, installed(client, prefer=sys.argv[2] or None):
    listener = socket.create_server(("127.0.0.1", 0))
    assert isinstance(listener, Socket)

    def answer():
        guest, _ = listener.accept()
        with guest:
            guest.sendall(guest.recv(100).upper())

    def ask():
        with socket.create_connection(listener.getsockname(), 30) as sock:
            sock.sendall(b"hello")
            return sock.recv(100)

    answering = gevent.spawn(answer)
    gevent.sleep(0)
    print(gevent.spawn(ask).get(timeout=30))
    answering.get(timeout=30)
    try:
        ssl.create_default_context().wrap_socket(listener, server_hostname="x")
    except OSError as error:
        print(error.errno, error.strerror)
    listener.close()
"""


@pytest.mark.parametrize("prefer", ["", "descriptor"])
def test_greenlets_talk_to_each_other(client: Client, prefer: str):
    pytest.importorskip("gevent", reason="gevent is not installed")
    home = str(Path(socketd_client.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, client.url, prefer],
        env={**os.environ, "PYTHONPATH": home},
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "b'HELLO'",
        "95 gevent has replaced socket.socket: a held socket's descriptor cannot stand for one",
    ]
    assert list(client.sockets.list()) == []
