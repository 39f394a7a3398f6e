"""The units: well formed, locked down as far as promised, and what the lock leaves open works."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemon_process import child_environment
from tests.system.package import API, ROOT, SERVICES
from tests.system.systemd_container import PYTHON

pytestmark = pytest.mark.timeout(900)  # the first test of a session waits for the package to be built

UNITS = ROOT / "systemd"
HOMES = Path("/home")
EXPOSURE = 15  # tenths
NET_BIND_SERVICE = 1 << 10
FILTERED = "2"  # Seccomp: in /proc/pid/status
EXAMPLES = "/usr/share/doc/socketd/examples"
OVERRIDES = "/etc/systemd/system/socketd.service.d"
WAYS = """\
import hashlib, os, socket, threading
from socketd_client import Client
with Client("unix://{api}") as client:
    near, left = client.sockets.pair()
    right, far = client.sockets.pair()
    taken, came, data = far.take(), hashlib.sha256(), os.urandom(8 << 20)
    taken.settimeout(60)
    def drain():
        while piece := taken.recv(1 << 18):
            came.update(piece)
    reader = threading.Thread(target=drain)
    reader.start()
    forward = client.forwards.create(left, right)
    near.sendall(data)  # an upload
    with near.tunnel() as tunnel:
        tunnel.sendall(data)
        tunnel.shutdown(socket.SHUT_WR)
        reader.join()
        taken.sendall(b"and back")
        taken.shutdown(socket.SHUT_WR)
        assert tunnel.recv(100) + tunnel.recv(100) == b"and back"
    info = forward.wait(30)
    assert info.whole and came.digest() == hashlib.sha256(data + data).digest(), info
    for sock in (near, left, right, far):
        sock.close()
    print("all came")
"""
WATCHDOG = "[Service]\nWatchdogSec=1s\n"


def ask(container, method, path, body=None):
    """Make a request as root; return the status and the answer."""
    command = ["curl", "--silent", "--show-error", "--unix-socket", API, "--request", method]
    command += ["--write-out", "\n%{http_code}", f"http://localhost{path}"]
    if body is not None:
        command += ["--json", json.dumps(body)]
    answer, _, status = container.exec(command).stdout.rpartition("\n")
    return int(status), json.loads(answer) if answer else None


@contextmanager
def override(container, name, content=None):
    """Have a drop-in of the shipped ones, or another, in force for the daemon."""
    container.exec(["mkdir", "--parents", OVERRIDES])
    if content is None:
        container.exec(["cp", f"{EXAMPLES}/{name}", OVERRIDES])
    else:
        container.path(f"{OVERRIDES}/{name}").write_text(content)
    try:
        restart(container)
        yield
    finally:
        container.exec(["rm", "--recursive", OVERRIDES])
        restart(container)


def restart(container):
    container.exec(["systemctl", "daemon-reload"])
    container.exec(["systemctl", "restart", "socketd.service"])


def status_of(container, pid):
    """Return /proc/PID/status, of a number as the container counts."""
    lines = container.exec(["cat", f"/proc/{pid}/status"]).stdout.splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("unit", [unit for unit in SERVICES if unit.endswith(".service")])
def test_exposure_is_as_promised(unit):
    command = [
        "systemd-analyze",
        "security",
        "--offline=yes",
        f"--threshold={EXPOSURE}",
        "--no-pager",
        UNITS / unit,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_units_are_well_formed(installed):
    done = installed.exec(["systemd-analyze", "verify", *SERVICES])
    assert done.stdout + done.stderr == ""


def test_overrides_are_well_formed(installed):
    examples = installed.exec(["sh", "-c", f"ls {EXAMPLES} | grep conf$"]).stdout.split()
    assert {"raw-sockets.conf", "vsock.conf", "adopt.conf", "socket-groups.conf"} == set(examples)
    for name in examples:
        with override(installed, name):
            done = installed.exec(["systemd-analyze", "verify", "socketd.service"])
            assert done.stdout + done.stderr == ""


def test_example_configuration_is_the_defaults():
    command = [sys.executable, "-m", "socketd", "config", "--defaults"]
    done = subprocess.run(
        command, env=child_environment({}), capture_output=True, text=True, timeout=60, check=True
    )
    assert (UNITS / "socketd.toml").read_text() == done.stdout  # `make docs` writes it


def test_processes_have_the_rights_they_need_and_no_more(installed):
    worker = ask(installed, "GET", "/v1/")[1]["pid"]
    rights = {
        worker: NET_BIND_SERVICE,
        installed.show("socketd.service", "MainPID"): NET_BIND_SERVICE,
        installed.show("socketd-keeper.service", "MainPID"): 0,
    }
    for pid, capabilities in rights.items():
        status = status_of(installed, pid)
        for kind in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[kind], 16) == capabilities
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == FILTERED
        assert installed.exec(["stat", "--format=%U:%G", f"/proc/{pid}"]).stdout == "socketd:socketd\n"


def test_files_of_others_are_out_of_reach(installed):
    secret = HOMES / "somebody" / "file"
    installed.exec(["sh", "-c", f"mkdir -p {secret.parent} && echo secret >{secret}"])
    for unit in ("socketd.service", "socketd-keeper.service"):
        inside = ["nsenter", f"--target={installed.show(unit, 'MainPID')}", "--mount", "--", "sh", "-c"]
        done = installed.exec([*inside, f"ls -R {HOMES} /root; cat {secret}"], check=False)
        assert "secret" not in done.stdout
        for folder in ("/etc", "/usr", "/var/lib"):
            done = installed.exec([*inside, f"touch {folder}/written"], check=False)
            assert "Read-only file system" in done.stderr


@pytest.mark.parametrize(
    "specification",
    [
        {"family": "inet", "bind": "127.0.0.1:0"},
        {"family": "inet6", "bind": "[::1]:0"},
        {"family": "inet", "protocol": "mptcp"},
        {"family": "inet", "type": "dgram", "bind": "127.0.0.1:0"},
        {"family": "unix", "bind": "/run/socketd/held.sock"},
        {"family": "unix", "bind": "@abstract"},
        {"family": "netlink", "type": "raw"},
    ],
    ids=str,
)
def test_ordinary_sockets_can_be_made(installed, specification):
    status, answer = ask(installed, "POST", "/v1/sockets", specification)
    assert status == 201, answer
    assert ask(installed, "GET", f"/v1/sockets/{answer['fd']}/info")[0] == 200
    assert ask(installed, "DELETE", f"/v1/sockets/{answer['fd']}")[0] == 204


@pytest.mark.parametrize(
    ("specification", "symbol", "name"),
    [
        ({"family": "inet", "type": "raw", "protocol": "icmp"}, "EPERM", "raw-sockets.conf"),
        ({"family": "packet", "type": "raw"}, "EAFNOSUPPORT", "raw-sockets.conf"),
        ({"family": "vsock"}, "EAFNOSUPPORT", "vsock.conf"),
    ],
    ids=str,
)
def test_other_sockets_need_an_override(installed, specification, symbol, name):
    status, answer = ask(installed, "POST", "/v1/sockets", specification)
    assert (status // 100, answer["errno"]) == (4, symbol)
    with override(installed, name):
        status, answer = ask(installed, "POST", "/v1/sockets", specification)
        assert status == 201, answer
        assert ask(installed, "DELETE", f"/v1/sockets/{answer['fd']}")[0] == 204


def test_a_descriptor_of_another_process_needs_an_override(installed):
    program = "import socket, sys; s = socket.socket(); print(s.fileno(), flush=True); sys.stdin.read()"
    with installed.running([PYTHON, "-c", program]) as owner:
        fd = int(owner.stdout.readline())
        pid = int(installed.exec(["pgrep", "--full", "--newest", "sys.stdin.read"]).stdout)
        status, answer = ask(installed, "POST", "/v1/sockets/give", {"pid": pid, "fd": fd})
        assert (status, answer["errno"]) == (403, "EPERM")
        with override(installed, "adopt.conf"):
            status, answer = ask(installed, "POST", "/v1/sockets/give", {"pid": pid, "fd": fd})
            assert status == 201, answer
            assert ask(installed, "DELETE", f"/v1/sockets/{answer['fd']}")[0] == 204


def test_uploads_tunnels_and_forwards_work_behind_the_filter_of_system_calls(installed):
    done = installed.exec(["/usr/lib/socketd/bin/python", "-c", WAYS.format(api=API)], check=False)
    assert done.stdout == "all came\n", done.stderr


def test_the_watchdog_is_fed(installed):
    with override(installed, "watchdog.conf", WATCHDOG):
        pid = installed.show("socketd.service", "MainPID")
        fed = {installed.show("socketd.service", "WatchdogTimestampMonotonic")}
        while len(fed) < 5:  # beats come twice a second
            fed.add(installed.show("socketd.service", "WatchdogTimestampMonotonic"))
            assert installed.show("socketd.service", "MainPID") == pid


def test_a_worker_that_stands_still_is_replaced(installed):
    with override(installed, "watchdog.conf", WATCHDOG):
        status, held = ask(installed, "POST", "/v1/sockets", {"name": "kept", "bind": "127.0.0.1:0"})
        assert status == 201
        installed.exec(["kill", "-STOP", str(held["pid"])])
        after = ask(installed, "GET", "/v1/sockets/kept")[1]  # waits in the socket's queue
        assert after["pid"] != held["pid"]
        assert after["cookie"] == held["cookie"]
        assert installed.show("socketd.service", "NRestarts") == "1"
        ask(installed, "DELETE", "/v1/sockets/kept")


def test_systemd_holds_a_third_copy(installed):
    def stored():
        return int(installed.show("socketd-keeper.service", "NFileDescriptorStore"))

    before = stored()
    status, held = ask(installed, "POST", "/v1/sockets", {"bind": "127.0.0.1:0", "count": 3})
    assert status == 201
    for _ in range(1000):
        if stored() == before + 3:
            break
    assert stored() == before + 3
    for socket in held["sockets"]:
        assert ask(installed, "DELETE", f"/v1/sockets/{socket['fd']}")[0] == 204
    assert stored() == before  # close answers when systemd's copy is gone


def test_a_reload_with_a_broken_file_is_said_and_changes_nothing(installed):
    configuration = installed.path("/etc/socketd/socketd.toml")
    good = configuration.read_text()
    pid = ask(installed, "GET", "/v1/")[1]["pid"]
    configuration.write_text("max_waits = 'many'\n")
    try:
        installed.exec(["systemctl", "reload", "socketd.service"])
        for _ in range(1000):
            if "not reloaded" in installed.show("socketd.service", "StatusText"):
                break
        assert "max_waits" in installed.show("socketd.service", "StatusText")
        assert ask(installed, "GET", "/v1/")[1]["pid"] == pid
    finally:
        configuration.write_text(good)
        installed.exec(["systemctl", "reload", "socketd.service"])
