"""The Debian package, under a real systemd: it installs, serves, upgrades without a loss, and goes."""

from __future__ import annotations

import json
import re

import pytest

from tests.system.governed import policy
from tests.system.package import API, SERVICES, install, newer
from tests.system.systemd_container import PYTHON

pytestmark = pytest.mark.timeout(900)  # the first test of a session waits for the package to be built

STATE = "/var/lib/socketd"
PORT_80 = """
[[rule]]
name = "port 80"
user = "member"
bind = "127.0.0.1:80"
"""
# Holds a connection open, and prints what it hears on it once its own standard input ends.
VISITOR = """
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60)
connection.sendall(b"sent before")
print("connected", flush=True)
sys.stdin.read()
print(connection.recv(100).decode(), flush=True)
"""


def states(container):
    return {unit: container.show(unit, "ActiveState") for unit in SERVICES}


def socketctl(container, *arguments, user=None):
    return json.loads(container.exec(["socketctl", *arguments], user=user).stdout)


def get(container, path):
    answer = container.exec(
        ["curl", "--silent", "--show-error", "--unix-socket", API, f"http://localhost{path}"]
    )
    return json.loads(answer.stdout)


def member_of_the_group(container, name):
    container.exec(["useradd", "--groups", "socketd", name])
    return name


def test_it_starts_when_it_is_installed(installed):
    assert states(installed) == dict.fromkeys(SERVICES, "active")
    assert re.fullmatch(
        r"serving .*: \d+ sockets held, .*keeper up", installed.show(SERVICES[2], "StatusText")
    )
    for unit in SERVICES:
        assert installed.exec(["systemctl", "is-enabled", unit]).stdout == "enabled\n"
    assert installed.exec(["socketctl", "--version"]).stdout == installed.exec(
        ["socketd", "version"]
    ).stdout.replace("socketd", "socketctl")


def test_a_member_of_the_group_binds_a_low_port_that_the_policy_grants(installed):
    member = member_of_the_group(installed, "member")
    wanted = ("create", "--json", "--listen", "127.0.0.1:80", "--name", "web")
    assert installed.exec(["socketctl", *wanted], user=member, check=False).returncode != 0
    with policy(installed, PORT_80):
        held = socketctl(installed, *wanted, user=member)
    assert held["local"]["port"] == 80
    assert held["kept"] in {"keeper", "systemd"}
    assert held["owner"]["user"] == member
    program = "import socket; print(socket.create_connection(('127.0.0.1', 80), timeout=30).getpeername())"
    installed.exec(["useradd", "anybody"])
    assert installed.exec([PYTHON, "-c", program], user="anybody").stdout == "('127.0.0.1', 80)\n"


def test_others_may_not_ask(installed):
    installed.exec(["useradd", "outsider"])
    done = installed.exec(["socketctl", "ls"], user="outsider", check=False)
    assert done.returncode != 0
    assert "Permission denied" in done.stderr


def test_programs_are_precompiled_and_say_nothing_of_where_they_were_built(installed):
    library = "/usr/lib/socketd"
    found = installed.exec(
        ["grep", "--recursive", "--files-with-matches", "/tmp/tmp[.]", library], check=False
    )
    assert found.stdout == ""  # mktemp's names
    sources = installed.exec(["find", library, "-path", "*/socketd/*.py"]).stdout.split()
    assert len(sources) > 50
    compiled = installed.exec(["find", library, "-path", "*/socketd/*.pyc"]).stdout.split()
    assert len(compiled) == len(sources)


def test_files_are_as_the_package_says(installed):
    assert installed.exec(["dpkg", "--verify", "socketd"]).stdout == ""


def test_upgrade_keeps_what_is_held(installed, package, tmp_path):
    held = socketctl(installed, "create", "--json", "--listen", "127.0.0.1:3490", "--name", "upgraded")
    with installed.running([PYTHON, "-c", VISITOR, "3490"]) as visitor:
        assert visitor.stdout.readline() == "connected\n"
        before = installed.exec(["systemctl", "show", "--property=MainPID", *SERVICES[1:]]).stdout
        install(installed, newer(package, tmp_path))
        assert states(installed) == dict.fromkeys(SERVICES, "active")
        assert installed.exec(["systemctl", "show", "--property=MainPID", *SERVICES[1:]]).stdout != before
        after = get(installed, "/v1/sockets/upgraded")
        same = ("fd", "cookie", "inode", "name", "owner", "created_at", "local", "state")
        assert {key: after[key] for key in same} == {key: held[key] for key in same}
        assert after["pid"] != held["pid"]
        guest = socketctl(installed, "accept", "--json", "upgraded")
        received = installed.exec(["socketctl", "recv", str(guest["fd"])]).stdout
        assert received == "sent before"
        installed.exec(["socketctl", "send", str(guest["fd"])], input="sent after")
        visitor.stdin.close()
        assert visitor.stdout.readline() == "sent after\n"
    installed.exec(["socketctl", "close", "upgraded"])


def test_a_changed_configuration_survives_an_upgrade(installed, package, tmp_path):
    installed.exec(["sed", "--in-place", "s/^max_waits = .*/max_waits = 77/", "/etc/socketd/socketd.toml"])
    installed.exec(["systemctl", "reload", "socketd.service"])
    install(installed, newer(package, tmp_path, "99.0-2"))
    assert "max_waits = 77" in installed.path("/etc/socketd/socketd.toml").read_text()
    assert get(installed, "/v1/")["limits"]["waits"] == 77


def test_a_new_daemon_that_does_not_start_leaves_the_keeper_alone(installed, package, tmp_path):
    socketctl(installed, "create", "--json", "--listen", "127.0.0.1:3491", "--name", "waits-for-a-cure")
    keeper = installed.show("socketd-keeper.service", "MainPID")
    installed.exec(["sh", "-c", "echo 'no_such_key = 1' >>/etc/socketd/socketd.toml"])
    with pytest.raises(AssertionError, match="the keeper is left alone"):
        install(installed, newer(package, tmp_path, "99.0-3"))
    assert installed.show("socketd-keeper.service", "MainPID") == keeper
    installed.exec(["sed", "--in-place", "/no_such_key/d", "/etc/socketd/socketd.toml"])
    installed.exec(["dpkg", "--no-triggers", "--configure", "--pending"])
    assert get(installed, "/v1/sockets/waits-for-a-cure")["state"] == "listening"
    installed.exec(["socketctl", "close", "waits-for-a-cure"])


def test_removal_stops_it_and_purge_leaves_nothing(installed):
    socketctl(installed, "create", "--json", "--listen", "127.0.0.1:3492", "--name", "ends")
    installed.exec(["dpkg", "--no-triggers", "--remove", "socketd"])
    assert set(states(installed).values()) == {"inactive"}
    assert not installed.path("/usr/lib/socketd").exists()
    assert installed.path("/etc/socketd/socketd.toml").exists()
    installed.exec([PYTHON, "-c", "import socket; socket.create_server(('127.0.0.1', 3492))"])

    installed.exec(["dpkg", "--no-triggers", "--purge", "socketd"])
    left = installed.exec(
        ["find", "/etc", "/usr", "/var/lib/socketd", "/run", "-name", "*socketd*"], check=False
    )
    known = {"/etc/group", "/etc/passwd"}
    assert [line for line in left.stdout.split() if "test" not in line and line not in known] == []
    assert installed.exec(["systemctl", "--failed", "--plain", "--no-legend"]).stdout == ""
