"""``socketctl`` on the module's daemon, and a held connection for its commands."""

from __future__ import annotations

import socket

import pytest

from tests.socketctl_process import socketctl


@pytest.fixture
def ctl(daemon):
    """Run a command on the module's daemon."""

    def run(*arguments, stdin=b"", **more):
        return socketctl(daemon.url, *arguments, stdin=stdin, **more)

    return run


@pytest.fixture
def connection(ctl):
    """A held connection: its number, and the other end here."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        fd = ctl("create", "-q", "--connect", f"127.0.0.1:{server.getsockname()[1]}").stdout.strip()
        near, _ = server.accept()
    with near:
        near.settimeout(30)
        yield fd, near
    ctl("close", fd)


def port_of(daemon, ref):
    return daemon.request("GET", f"/v1/sockets/{ref}").json()["local"]["port"]
