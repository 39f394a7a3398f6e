"""``listen_fds``: what a service manager passed, found by name and once."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import socketd_client

LOOPBACK = ("127.0.0.1", 0)
CONSUMER = """
import os, sys
import socketd_client
os.environ["LISTEN_PID"] = os.environ.get("LISTEN_PID") or str(os.getpid())
found = socketd_client.listen_fds()
for name, sock in found.items():
    print(name, sock.getsockname()[1], os.get_inheritable(sock.fileno()), sock.gettimeout())
left = sorted(variable for variable in os.environ if variable.startswith("LISTEN_"))
print(left, len(socketd_client.listen_fds()))
"""


def consume(*socks: socket.socket, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a consumer with these as descriptors 3, 4, …"""
    package = str(Path(socketd_client.__file__).parents[1])

    def place() -> None:
        high = [fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD, 100) for sock in socks]
        for fd, source in enumerate(high, start=3):
            os.dup2(source, fd)

    return subprocess.run(
        [sys.executable, "-c", CONSUMER],
        env={"PYTHONPATH": package, **environ},
        preexec_fn=place,
        close_fds=False,
        capture_output=True,
        text=True,
        check=False,
    )


def test_listen_fds_are_found_by_name_once():
    with socket.create_server(LOOPBACK) as one, socket.create_server(LOOPBACK) as two:
        result = consume(one, two, LISTEN_FDS="2", LISTEN_FDNAMES="web:web")
        ports = one.getsockname()[1], two.getsockname()[1]
    assert result.stdout.splitlines() == [
        f"web {ports[0]} False None",
        f"web.1 {ports[1]} False None",
        "[] 0",
    ], result.stderr


def test_listen_fds_of_another_process_are_none():
    result = consume(LISTEN_FDS="1", LISTEN_PID="1")
    assert result.stdout == "[] 0\n", result.stderr


@pytest.mark.parametrize(
    ("environ", "error"),
    [
        ({"LISTEN_FDS": "two"}, "ValueError"),
        ({"LISTEN_FDS": "2", "LISTEN_FDNAMES": "web"}, "ValueError"),
        ({"LISTEN_FDS": "900"}, "Errno"),
    ],
)
def test_listen_fds_that_contradict_themselves_are_an_error(environ, error):
    result = consume(**environ)
    assert result.returncode == 1
    assert error in result.stderr
