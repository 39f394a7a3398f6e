"""A socket name of each test's own, and socketctl handed a socket that has one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.socketctl_process import SOCKETCTL, environment


@pytest.fixture
def named(request):
    """A socket name of this test's own."""
    return "t" + "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[:200]


def activated(daemon, sock, name, words):
    """Run socketctl as a service manager does, with a socket at descriptor 3; return what it printed."""
    launcher = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid());"
        "os.execv(sys.argv[2], sys.argv[2:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", launcher, str(sock.fileno()), *SOCKETCTL, *words],
        env=environment(daemon.url, {"LISTEN_FDS": "1", "LISTEN_FDNAMES": name}),
        pass_fds=[sock.fileno()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout
