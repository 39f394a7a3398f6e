"""Programs under ``socketctl run``, each on a socket of its own."""

from __future__ import annotations

import re
from contextlib import contextmanager

from tests.ports import free_port
from tests.socketctl_process import Started, ask
from tests.system.consumers import prepare


@contextmanager
def running(daemon, folder, options, words, **more):
    """Run a program on a socket of its own; nothing of it is left afterwards."""
    port = free_port()
    command = ("run", "--listen", f"web=127.0.0.1:{port}", *options, "--", *words)
    started = Started(daemon, folder, *command, **more)
    started.address = ("127.0.0.1", port)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.terminate()
            try:
                started.wait()
            finally:
                started.kill()
        daemon.request("DELETE", "/v1/sockets/web")


def shell(script):
    """Make a shell of the script, which it does not exec into."""
    return "sh", "-c", script


def serving(folder, mode=""):
    """Write the program that serves, and how it does so."""
    (folder / "mode").write_text(mode)
    return prepare("systemd-style", folder, "").words[1:]


def served_by(address):
    """Ask who serves."""
    return int(re.search(rb"served by (\d+)", ask(address))[1])
