"""Programs that end while ``installed`` is in force, and threads of theirs wait for held sockets."""

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

BOUND_S = 30.0
BEGIN = """
import select, socket, sys, threading
from socketd_client import Client, installed
whole = installed(Client(sys.argv[1]), prefer=sys.argv[2] or None)
whole.__enter__()
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
listener = socket.create_server(("127.0.0.1", 0))

def beside(wait, *arguments):
    threading.Thread(target=wait, args=arguments, daemon=True).start()
"""
ENDS = {
    "by itself": ("", 0),
    "by exit": ("sys.exit(3)", 3),
    "while one selects": ("beside(select.select, [sock], [], [])", 0),
    "while one accepts": ("beside(listener.accept)", 0),
}


@pytest.mark.parametrize("prefer", ["", "descriptor"])
@pytest.mark.parametrize("end", ENDS)
def test_program_ends_at_once_and_leaves_nothing(client: Client, prefer: str, end: str):
    home = str(Path(socketd_client.__file__).parent.parent)
    code, status = ENDS[end]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BEGIN + code, client.url, prefer],
        env={**os.environ, "PYTHONPATH": home},
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert done.returncode == status, done.stderr
    if not code.startswith("beside"):  # a thread that still waits may say that its socket was closed
        assert done.stderr == ""
    assert list(client.sockets.list()) == []
