"""Daemons with TLS, the keys around them, and how a test asks them."""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from tests.certificates import Pair
    from tests.daemon_process import DaemonProcess

TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    """Who signs for the daemon and for its clients."""
    return Authority(tmp_path_factory.mktemp("pki") / "authority")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory) -> Authority:
    """Another one, of which the daemon knows nothing."""
    return Authority(tmp_path_factory.mktemp("pki") / "stranger")


@pytest.fixture(scope="module")
def server(authority) -> Pair:
    """The daemon's certificate."""
    return authority.issue("localhost", "server")


@pytest.fixture(scope="module")
def client(authority) -> Pair:
    """A client's."""
    return authority.issue("web1", "client")


class Secured:
    """A daemon with TLS, and how a test asks it."""

    def __init__(self, daemon: DaemonProcess, authority: Authority) -> None:
        self.daemon = daemon
        self.url = re.search(r"https://127\.0\.0\.1:[0-9]+", daemon.log)[0]
        self.port = int(self.url.rpartition(":")[2])
        self.ca = authority.certificate

    def curl(self, *arguments: str, path: str = "/v1/caller") -> subprocess.CompletedProcess[str]:
        """Run the real curl on it."""
        command = ["curl", "-sS", "-m", "30", "--cacert", self.ca, *arguments, self.url + path]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def owner(self, *arguments: str) -> dict[str, Any]:
        """Ask who one is."""
        done = self.curl(*arguments)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        return {kind: found[kind] for kind in ("uid", "token", "certificate") if found[kind] is not None}

    @contextmanager
    def connected(self, pair: Pair | None = None, **options: Any) -> Iterator[ssl.SSLSocket]:
        """Connect by Python's own TLS."""
        context = ssl.create_default_context(cafile=self.ca)
        for name, value in options.items():
            setattr(context, name, value)
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        bare = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        with bare, context.wrap_socket(bare, server_hostname="localhost") as connection:
            yield connection

    def reload(self) -> str:
        """Have it read its files again; return its status."""
        self.daemon.process.send_signal(signal.SIGHUP)
        self.daemon.await_notification("RELOADING=1")
        return self.daemon.await_notification("READY=1")["STATUS"]


def flags(server: Pair, **more: str) -> list[str]:
    keys = {"tcp": "127.0.0.1:0", "tls_certificate": server.certificate, "tls_key": server.key, **more}
    return [word for name, value in keys.items() for word in ("--" + name.replace("_", "-"), value)]


@pytest.fixture
def secured(fresh_daemon, authority, server) -> Callable[..., Secured]:
    """Start daemons with TLS and keys besides."""

    def start(**more: str) -> Secured:
        daemon = fresh_daemon(*flags(server, **more), environ={"SOCKETD_TOKEN": more.pop("plain", TOKEN)})
        daemon.await_log("https://")
        return Secured(daemon, authority)

    return start


def as_client(pair: Pair) -> tuple[str, ...]:
    return "--cert", pair.certificate, "--key", pair.key


def with_token(token: str) -> tuple[str, str]:
    return "-H", f"Authorization: Bearer {token}"
