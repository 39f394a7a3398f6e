"""A daemon with a policy, and how several users and tokens ask it."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.daemon_process import START_S, UnixConnection, running_daemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tests.daemon_process import DaemonProcess

ROOT, ANN, BOB, EVE = 0, 54_001, 54_002, 54_003
WEB = 54_100
CI = "sd_" + "c" * 43
RULES = f"""version = 1
[[rule]]
name = "root"
uid = 0
families = "*"
types = "*"
bind = "*"
connect = "*"
options = "*"
names = "*"
see = "all"
take = true
adopt_pid = true
[[rule]]
name = "ann"
uid = {ANN}
families = ["inet"]
types = ["stream", "dgram"]
bind = ["127.0.0.1:1024-65535"]
connect = ["127.0.0.1:1024-65535"]
options = ["TCP_*"]
names = "ann.*"
quota = {{ sockets = 20 }}
[[rule]]
name = "web"
gid = {WEB}
bind = ["127.0.0.1:82"]
[[rule]]
name = "bob"
uid = {BOB}
families = ["inet"]
types = ["stream"]
see = ["uid:{ANN}"]
quota = {{ requests_per_s = 0.001, burst = 4 }}
[[rule]]
name = "ci"
token = "ci"
families = ["inet"]
types = ["stream"]
names = "ci.*"
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A daemon and the file of its policy."""

    daemon: DaemonProcess
    policy: Path


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # everybody has to come to it
    folder.chmod(0o711)
    policy, tokens = folder / "policy.toml", folder / "tokens.toml"
    policy.write_text(RULES)
    tokens.write_text(f'[[token]]\nname = "ci"\nsha256 = "{hashlib.sha256(CI.encode()).hexdigest()}"\n')
    tokens.chmod(0o600)
    flags = ("--policy", str(policy), "--socket-mode", "0666", "--token-file", str(tokens))
    try:
        with running_daemon(folder, *flags, "--tcp", "127.0.0.1:0") as daemon:
            yield Place(daemon, policy)
    finally:
        shutil.rmtree(folder)


@contextmanager
def being(uid: int, *groups: int) -> Iterator[None]:
    """Be somebody else meanwhile; SO_PEERCRED names who connects."""
    before = os.getgroups()
    os.setgroups(groups)
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)


@dataclass(frozen=True, slots=True)
class Told:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: Any


def ask(place: Place, who: int | str, method: str, path: str, body: Any = None, *groups: int) -> Told:
    """Make a request as a user, or with a token."""
    headers = {} if body is None else {"Content-Type": "application/json"}
    connection: http.client.HTTPConnection
    if isinstance(who, str):
        found = re.search(r"http://127\.0\.0\.1:(\d+)", place.daemon.log)
        assert found
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=START_S)
        headers["Authorization"] = f"Bearer {who}"
    else:
        connection = UnixConnection(place.daemon.socket_path, START_S)
        with being(who, *groups):
            connection.connect()
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        read = response.read()
        known = response.headers.get_content_type().endswith("json")
        return Told(response.status, dict(response.headers), json.loads(read) if known and read else read)
    finally:
        connection.close()


def create(place: Place, who: int | str, **wanted: Any) -> str:
    told = ask(place, who, "POST", "/v1/sockets", wanted)
    assert told.status == 201, told
    return str(told.body["fd"])
