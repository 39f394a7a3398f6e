"""The policy under a real systemd, asked by real users: what the shipped one gives, and how another comes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.governed import DAEMON, POLICY, policy, reload
from tests.system.package import API
from tests.system.systemd_container import PYTHON

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.systemd_container import Container

pytestmark = pytest.mark.timeout(900)  # the first test of a session waits for the package to be built

MEMBER, OTHER, SERVER = "member", "neighbour", "www-data"
EXPOSURE = 15  # tenths, as in test_units.py
CHECK = ["socketd", "policy", "check"]
PORT_80 = """
[[rule]]
name = "port 80"
user = "www-data"
families = ["inet", "inet6"]
types = "stream"
bind = ["0.0.0.0:80", "[::]:80"]
"""
BROKEN = "\n[[rule]]\nname = 'misspelt'\nusers = 'www-data'\n"
# Tells whether a port of this machine can be bound by root, who does not ask the daemon.
BIND = "import socket, sys; socket.create_server((sys.argv[1], int(sys.argv[2])))"


def ask(
    machine: Container, user: str | None, method: str, path: str, body: dict[str, Any] | None = None
) -> tuple[int, Any]:
    """Make a request as somebody; return the status and the answer."""
    command = ["curl", "--silent", "--show-error", "--unix-socket", API, "--request", method]
    command += ["--write-out", "\n%{http_code}", f"http://localhost{path}"]
    if body is not None:
        command += ["--json", json.dumps(body)]
    answer, _, status = machine.exec(command, user=user).stdout.rpartition("\n")
    return int(status), json.loads(answer) if answer else None


def create(machine: Container, user: str | None, bind: str, **more: Any) -> tuple[int, Any]:
    """Ask for a socket that is bound."""
    kind = {"family": "unix"} if bind[0] in "/@" else {}
    return ask(machine, user, "POST", "/v1/sockets", {"bind": bind, **kind, **more})


def held(machine: Container) -> list[int]:
    """Return the numbers of all sockets, which root sees."""
    return [one["fd"] for one in ask(machine, None, "GET", "/v1/sockets?fields=fd")[1]["sockets"]]


@pytest.fixture(scope="module")
def machine(installed: Container) -> Container:
    """Two users in the group, the web server's in it too, and one who is not."""
    for name in (MEMBER, OTHER):
        installed.exec(["useradd", "--groups", "socketd", name])
    installed.exec(["usermod", "--append", "--groups", "socketd", SERVER])
    installed.exec(["useradd", "stranger"])
    return installed


@pytest.fixture(autouse=True)
def _nothing_is_left(machine: Container) -> Iterator[None]:
    yield
    for fd in held(machine):
        assert ask(machine, None, "DELETE", f"/v1/sockets/{fd}")[0] == 204


@pytest.mark.parametrize(
    "bind",
    [
        "0.0.0.0:80",
        "127.0.0.1:80",
        "127.0.0.1:1023",
        "0.0.0.0:8080",
        "[::]:8080",
        "/run/socketd/x.sock",
        "/run/socketd/sockets/neighbour/x.sock",
        "/run/socketd/sockets/member/../neighbour/x.sock",
        "/run/socketd/api.sock",
        "@neighbour.x",
    ],
)
def test_a_member_is_refused_what_the_shipped_policy_does_not_grant(machine, bind):
    status, answer = create(machine, MEMBER, bind)
    assert (status, answer["errno"]) == (403, "EACCES"), answer
    assert "policy" in answer["detail"]
    assert held(machine) == []


@pytest.mark.parametrize(
    "bind",
    ["127.0.0.1:8080", "127.0.0.1:0", "[::1]:8080", "/run/socketd/sockets/member/x.sock", "@member.x"],
)
def test_a_member_gets_what_the_shipped_policy_grants(machine, bind):
    status, answer = create(machine, MEMBER, bind, listen=True)
    assert status == 201, answer
    assert answer["owner"]["user"] == MEMBER


def test_what_was_refused_is_free(machine):
    assert create(machine, MEMBER, "0.0.0.0:80", listen=True)[0] == 403
    machine.exec([PYTHON, "-c", BIND, "0.0.0.0", "80"])


def test_a_member_does_not_find_the_sockets_of_another(machine):
    theirs = create(machine, OTHER, "127.0.0.1:8081", listen=True, name="theirs")[1]
    for reference in ("theirs", theirs["fd"]):
        status, found = ask(machine, MEMBER, "GET", f"/v1/sockets/{reference}")
        missing = ask(machine, MEMBER, "GET", f"/v1/sockets/{'x' * len(str(reference))}")
        assert (status, found["errno"]) == (missing[0], missing[1]["errno"])
        assert ask(machine, MEMBER, "DELETE", f"/v1/sockets/{reference}")[0] == status
    assert ask(machine, MEMBER, "GET", "/v1/sockets")[1]["sockets"] == []
    assert held(machine) == [theirs["fd"]]


def test_a_stranger_does_not_reach_the_api(machine):
    done = machine.exec(["socketctl", "ls"], user="stranger", check=False)
    assert done.returncode != 0
    assert "Permission denied" in done.stderr


def test_a_reload_gives_a_user_its_port_and_takes_the_grant_away_again(machine):
    pid = ask(machine, None, "GET", "/v1/")[1]["pid"]
    assert create(machine, SERVER, "0.0.0.0:80", listen=True)[0] == 403
    with policy(machine, PORT_80):
        assert create(machine, MEMBER, "0.0.0.0:80", listen=True)[0] == 403
        status, answer = create(machine, SERVER, "0.0.0.0:80", listen=True, name="www")
        assert status == 201, answer
        assert answer["local"]["port"] == 80
        rules = ask(machine, SERVER, "GET", "/v1/caller")[1]["rules"]
        assert [rule["name"] for rule in rules] == ["members", "port 80"]
    # What is held stays held; the next one is refused.
    assert ask(machine, SERVER, "GET", "/v1/sockets/www")[1]["state"] == "listening"
    assert create(machine, SERVER, "[::]:80", listen=True)[0] == 403
    assert ask(machine, None, "GET", "/v1/")[1]["pid"] == pid


def test_check_says_before_a_reload_what_it_will_bring(machine):
    question = ["--user", SERVER, "bind", "0.0.0.0:80"]
    done = machine.exec([*CHECK, *question], check=False)
    assert (done.returncode, "refused: bind 0.0.0.0:80" in done.stdout) == (1, True), done
    machine.path("/tmp/new.toml").write_text(machine.path(POLICY).read_text() + PORT_80)
    done = machine.exec([*CHECK, "--policy", "/tmp/new.toml", *question])
    assert "rule 'port 80' grants it" in done.stdout
    assert create(machine, SERVER, "0.0.0.0:80")[0] == 403


def test_a_broken_policy_keeps_the_old_one_and_status_says_so(machine):
    with policy(machine, PORT_80):
        file = machine.path(POLICY)
        good = file.read_text()
        file.write_text(good + BROKEN)
        try:
            reload(machine)
            told = machine.exec(["systemctl", "status", "--no-pager", "--full", DAEMON]).stdout
            assert f"not reloaded: policy {POLICY}" in told
            assert "users" in machine.show(DAEMON, "StatusText")
            assert create(machine, SERVER, "0.0.0.0:80")[0] == 201
            assert create(machine, MEMBER, "0.0.0.0:81")[0] == 403
        finally:
            file.write_text(good)
    assert "not reloaded" not in machine.show(DAEMON, "StatusText")


@pytest.mark.parametrize("harm", ["a rule that is none", "everybody may write it"])
def test_without_a_policy_there_is_no_daemon_and_nothing_is_lost(machine, harm):
    status, before = create(machine, MEMBER, "127.0.0.1:8082", listen=True, name="survives")
    assert status == 201, before
    file = machine.path(POLICY)
    good, mode = file.read_text(), file.stat().st_mode & 0o7777
    if harm.startswith("everybody"):
        file.chmod(0o666)
    else:
        file.write_text(good + BROKEN)
    try:
        done = machine.exec(["systemctl", "restart", DAEMON], check=False)
        assert done.returncode != 0
        assert f"policy {POLICY}" in machine.journal(DAEMON)
    finally:
        file.write_text(good)
        file.chmod(mode)
    machine.exec(["systemctl", "restart", DAEMON])
    after = ask(machine, MEMBER, "GET", "/v1/sockets/survives")[1]
    assert (after["fd"], after["cookie"]) == (before["fd"], before["cookie"])


@pytest.mark.needs("systemd-analyze")
def test_exposure_is_as_promised_with_the_shipped_policy(machine):
    for unit in (DAEMON, "socketd-keeper.service"):
        command = ["systemd-analyze", "security", f"--threshold={EXPOSURE}", "--no-pager", unit]
        done = machine.exec(command, check=False)
        assert done.returncode == 0, done.stdout
