"""A daemon with a policy, asked by several users and tokens: more is refused than granted."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.daemon_process import START_S, DaemonProcess, UnixConnection, running_daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

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
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")


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


LISTEN = {"bind": "127.0.0.1:0", "listen": True}
REFUSED: list[tuple[int | str, dict[str, Any]]] = [
    (EVE, {}),
    (EVE, LISTEN),
    (EVE, {"family": "unix"}),
    (EVE, {"name": "eve"}),
    (CI, LISTEN),
    (CI, {"connect": "127.0.0.1:9"}),
    (CI, {"name": "ann.x"}),
    (CI, {"options": {"SO_KEEPALIVE": True}}),
    (ANN, {"family": "unix"}),
    (ANN, {"type": "raw", "protocol": "icmp"}),
    (ANN, {"bind": "127.0.0.1:82"}),
    (ANN, {"bind": "127.0.0.2:8080"}),
    (ANN, {"bind": "*:8080"}),
    (ANN, {"connect": "127.0.0.1:22"}),
    (ANN, {"connect": "169.254.169.254:8080"}),
    (ANN, {"connect": "[::ffff:169.254.169.254]:8080"}),
    (ANN, {"connect": "0.0.0.0:22"}),
    (ANN, {"name": "web"}),
    (ANN, {"listen": True}),
    (ANN, {"options": {"SO_MARK": 1}}),
    (ANN, {"name": "ann.x", "persist": "boot"}),
    (ANN, {"count": 5, "name": "web"}),
    (ROOT, {"options": {}, "connect": "THE API"}),
]


@pytest.mark.parametrize(("who", "wanted"), REFUSED)
def test_what_the_policy_does_not_grant_is_403_and_leaves_nothing(place, who, wanted):
    if wanted.get("connect") == "THE API":
        wanted = {"family": "unix", "connect": place.daemon.socket_path}
    before = ask(place, ROOT, "GET", "/v1/sockets").body["sockets"]
    told = ask(place, who, "POST", "/v1/sockets", wanted)
    assert (told.status, told.body["errno"], told.body["code"]) == (403, "EACCES", "not_permitted")
    assert told.body["detail"].startswith("the policy does not let ")
    assert ask(place, ROOT, "GET", "/v1/sockets").body["sockets"] == before


def test_what_it_grants_is_done(place):
    for who, wanted in ((ANN, LISTEN), (ANN, {"name": "ann.a"}), (CI, {"name": "ci.a"}), (ROOT, LISTEN)):
        create(place, who, **wanted)


def test_groups_of_the_process_count(place):
    wanted = {"bind": "127.0.0.1:82", "listen": True}
    assert ask(place, ANN, "POST", "/v1/sockets", wanted).status == 403
    told = ask(place, ANN, "POST", "/v1/sockets", wanted, WEB)
    assert (told.status, told.body["local"]["port"]) == (201, 82)
    told = ask(place, ANN, "POST", "/v1/sockets", wanted, WEB)
    assert (told.status, told.body["errno"]) == (409, "EADDRINUSE")
    assert "inode" not in told.body["hint"]
    hint = ask(place, ROOT, "POST", "/v1/sockets", wanted).body["hint"]
    assert "inode" in hint


def test_a_token_is_no_user_and_has_its_own_sockets(place):
    mine = create(place, CI, name="ci.mine")
    assert ask(place, CI, "GET", f"/v1/sockets/{mine}").status == 200
    assert ask(place, ANN, "GET", f"/v1/sockets/{mine}").status == 404
    assert ask(place, CI, "GET", "/v1/caller").body["rules"][0]["name"] == "ci"


VERBS: list[tuple[str, str, Any]] = [
    ("GET", "/v1/sockets/{}", None),
    ("HEAD", "/v1/sockets/{}", None),
    ("DELETE", "/v1/sockets/{}", None),
    ("GET", "/v1/sockets/{}/info", None),
    ("GET", "/v1/sockets/{}/options", None),
    ("GET", "/v1/sockets/{}/options/SO_KEEPALIVE", None),
    ("PUT", "/v1/sockets/{}/options/SO_KEEPALIVE", {"value": True}),
    ("PUT", "/v1/sockets/{}/options/TCP_NODELAY", {"value": True}),
    ("POST", "/v1/sockets/{}/bind", {"address": "127.0.0.1:80"}),
    ("POST", "/v1/sockets/{}/bind", {"address": "127.0.0.1:0"}),
    ("POST", "/v1/sockets/{}/listen", {}),
    ("POST", "/v1/sockets/{}/accept", {"timeout": 0}),
    ("POST", "/v1/sockets/{}/connect", {"address": "127.0.0.1:22"}),
    ("POST", "/v1/sockets/{}/shutdown", {"how": "both"}),
    ("POST", "/v1/sockets/{}/send", {"text": "x"}),
    ("POST", "/v1/sockets/{}/send", {"text": "x", "to": "127.0.0.1:22"}),
    ("POST", "/v1/sockets/{}/recv", {"timeout": 0}),
    ("POST", "/v1/sockets/{}/take", {}),
    ("POST", "/v1/sockets/{}/take", {"release": True}),
    ("POST", "/v1/sockets/take", {"sockets": ["{}"]}),
    ("POST", "/v1/poll", {"sockets": [{"socket": "{}", "events": ["in"]}], "timeout": 0}),
    ("GET", "/v1/process/fds/{}", None),
    ("GET", "/v1/names/{}", None),
    ("DELETE", "/v1/names/{}", None),
]
CHANGES = ("X-Request-Id", "Date")


def comparable(told: Told, reference: str) -> tuple[int, Any, str]:
    headers = {name: value for name, value in told.headers.items() if name not in CHANGES}
    body = {**told.body, "instance": None} if isinstance(told.body, dict) else told.body
    return told.status, headers, str(body).replace(reference, "REF")


@pytest.mark.parametrize("who", [ANN, EVE, CI], ids=["ann", "eve", "ci"])
@pytest.mark.parametrize("request_made", VERBS)
@pytest.mark.parametrize("by", ["number", "name"])
def test_anothers_socket_answers_as_a_missing_one(place, theirs, who, request_made, by):
    method, path, body = request_made
    held = theirs if by == "number" else "theirs.socket"
    missing = str(int(theirs) + 3000) if by == "number" else "nobody.socket"
    if by == "number" and len(missing) != len(held):
        missing = missing[: len(held)]
    answers = []
    for reference in (held, missing):
        sent = None if body is None else json.loads(json.dumps(body).replace('"{}"', f'"{reference}"'))
        answers.append(comparable(ask(place, who, method, path.replace("{}", reference), sent), reference))
    assert answers[0][0] == answers[1][0]
    assert {**answers[0][1], "Content-Length": ""} == {**answers[1][1], "Content-Length": ""}
    assert answers[0][2] == answers[1][2]
    assert ask(place, ROOT, "GET", f"/v1/sockets/{theirs}").status == 200


@pytest.fixture(scope="module")
def theirs(place: Place) -> str:
    """A socket of root's."""
    return create(place, ROOT, name="theirs.socket", bind="127.0.0.1:0", listen=True)


@pytest.mark.parametrize("who", [ANN, EVE, CI], ids=["ann", "eve", "ci"])
def test_listings_and_counts_know_nothing_of_others(place, theirs, who):
    for path in ("/v1/sockets", "/v1/names", "/v1/process/fds"):
        assert "theirs.socket" not in str(ask(place, who, "GET", path).body)
    listed = ask(place, who, "GET", "/v1/sockets?limit=1000").body["sockets"]
    assert ask(place, who, "GET", "/v1/").body["sockets"] == len(listed)
    assert int(theirs) not in {each["fd"] for each in listed}


def test_who_sees_anothers_may_use_them_and_asks_as_often_as_granted(place):
    mine = create(place, ANN)
    assert ask(place, BOB, "GET", f"/v1/sockets/{mine}").status == 200
    assert ask(place, BOB, "POST", f"/v1/sockets/{mine}/listen", {}).status == 403
    for _ in range(2):
        assert ask(place, BOB, "GET", "/v1/").status == 200
    told = ask(place, BOB, "GET", "/v1/")
    assert (told.status, told.body["errno"]) == (429, "EDQUOT")
    assert 0 < int(told.headers["Retry-After"]) <= 1000
    assert ask(place, ANN, "GET", "/v1/").status == 200


def test_more_sockets_than_the_quota_are_429(place):
    told = ask(place, ANN, "POST", "/v1/sockets", {"count": 21})
    assert (told.status, told.body["errno"]) == (429, "EDQUOT")
    assert int(told.headers["Retry-After"]) > 0


def test_descriptors_of_the_daemon_itself_are_not_copied(place):
    for pid in (place.daemon.pid, place.daemon.process.pid):
        told = ask(place, ROOT, "POST", "/v1/sockets/give", {"pid": pid, "fd": 5})
        assert (told.status, told.body["detail"]) == (403, f"process {pid} is the daemon's own")


def test_a_reload_puts_another_policy_in_force_and_a_broken_one_does_not(place):
    def reload(text: str) -> str:
        place.policy.write_text(text)
        os.kill(place.daemon.process.pid, signal.SIGHUP)
        place.daemon.await_notification("RELOADING=1")
        return place.daemon.await_notification("READY=1")["STATUS"]

    held = create(place, ANN)
    unspecified = {"address": "127.0.0.1:0"}
    try:
        assert "not reloaded" in reload("version = 1\n[[rule]]\nname = 7\n")
        assert ask(place, ANN, "POST", "/v1/sockets", {"name": "ann.still"}).status == 201
        assert "not reloaded" not in reload(RULES.replace(f"uid = {ANN}", f"uid = {EVE}", 1))
        assert ask(place, ANN, "POST", "/v1/sockets", {}).status == 403
        assert ask(place, ANN, "POST", f"/v1/sockets/{held}/bind", unspecified).status == 403
        assert ask(place, ANN, "GET", f"/v1/sockets/{held}").status == 200
        create(place, EVE)
    finally:
        assert "not reloaded" not in reload(RULES)
    assert ask(place, ANN, "POST", f"/v1/sockets/{held}/bind", unspecified).status == 200


def test_a_broken_policy_at_the_start_is_no_daemon(tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text("version = 2\n")
    daemon = DaemonProcess(tmp_path, ("--policy", str(file)))
    try:
        assert daemon.process.wait(START_S) != 0
        assert str(file) in daemon.log
    finally:
        daemon.kill()


def test_no_address_of_the_daemon_is_reached_through_it(place):
    found = re.search(r"http://127\.0\.0\.1:(\d+)", place.daemon.log)
    assert found
    for to in (f"127.0.0.1:{found[1]}", f"localhost:{found[1]}", f"[::ffff:127.0.0.1]:{found[1]}"):
        for who in (ANN, ROOT):
            assert ask(place, who, "POST", "/v1/sockets", {"connect": to}).status == 403
    link = Path(place.daemon.socket_path).with_name("link")
    link.symlink_to(place.daemon.socket_path)
    wanted = {"family": "unix", "connect": str(link)}
    assert ask(place, ROOT, "POST", "/v1/sockets", wanted).status == 403
    with socket.create_server(("127.0.0.1", 0)) as other:
        create(place, ROOT, connect=f"127.0.0.1:{other.getsockname()[1]}")
