"""``persist: boot`` with real daemons: what is promised is there again, or it is told why not yet."""

from __future__ import annotations

import os
import select
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.daemon_process import DaemonProcess

    Daemons = Callable[..., DaemonProcess]

RETRIED_S = 60.0  # of what takes a second or two
ANN = 1000
GRANTED = f"""
version = 1
[[rule]]
name = "what is made again belongs to ann"
uid = [{ANN}]
families = ["inet"]
types = ["stream"]
bind = ["127.0.0.1:*"]
options = ["SO_*", "TCP_*"]
names = "*"
persist = true
[[rule]]
name = "root looks"
user = ["root"]
see = "all"
"""
STAYING = ("name", "owner", "family", "type", "protocol", "local", "persist", "state")
ON_A_SMALL_DISK = 'mount -t tmpfs -o size=4k,mode=700 tmpfs "$0" && exec "$@"'


@pytest.fixture
def start(fresh_daemon: Daemons, tmp_path: Path) -> Daemons:
    """Start daemons that have one state directory; each gets it when the one before has ended."""

    def daemon(*flags: str, **more: Any) -> DaemonProcess:
        return fresh_daemon("--state-directory", str(tmp_path / "state"), *flags, **more)

    return daemon


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that other users may pass; pytest's own may only be entered by ours."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


def listening(port: int) -> dict[str, Any]:
    return {
        "bind": f"127.0.0.1:{port}",
        "listen": {"backlog": 9},
        "options": {"SO_KEEPALIVE": True, "TCP_DEFER_ACCEPT": 3},
        "persist": "boot",
    }


def ensure(daemon: DaemonProcess, name: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = daemon.request("PUT", f"/v1/names/{name}", body)
    assert answer.status in (200, 201), answer.body
    made: dict[str, Any] = answer.json()
    return made


def shown(daemon: DaemonProcess, path: str) -> dict[str, Any]:
    answer = daemon.request("GET", f"/v1/{path}")
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json()
    return found


def await_socket(daemon: DaemonProcess, name: str) -> dict[str, Any]:
    """Block until the promised socket is there."""
    deadline = time.monotonic() + RETRIED_S
    while (found := shown(daemon, f"names/{name}"))["socket"] is None:
        assert time.monotonic() < deadline, found
        select.select([], [], [], 0.05)  # nobody tells: look again
    return found


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_it_is_made_again_with_owner_name_address_and_options(start, how):
    port, name = free_port(), "w" * 255
    daemon = start()
    before = ensure(daemon, name, listening(port))
    ensure(daemon, "plain", {"bind": "127.0.0.1:0", "listen": True})
    if how == "stop":
        daemon.stop()
    else:
        os.killpg(daemon.process.pid, signal.SIGKILL)
        daemon.kill()
    daemon = start()
    after = shown(daemon, f"sockets/{name}")
    assert {member: after[member] for member in STAYING} == {member: before[member] for member in STAYING}
    assert after["listening"]["backlog"] == 9
    assert after["cookie"] != before["cookie"]
    for option in ("SO_KEEPALIVE", "TCP_DEFER_ACCEPT"):
        assert shown(daemon, f"sockets/{name}/options/{option}")["value"]
    assert [each["name"] for each in shown(daemon, "names")["names"]] == [name]
    with socket.create_connection(("127.0.0.1", port)):
        pass
    assert f"made {name} again" in daemon.log


@pytest.mark.skipif(os.geteuid() != 0, reason="only root asks as somebody else")
def test_it_belongs_to_who_made_it(start, open_folder):
    policy = open_folder / "policy.toml"
    policy.write_text(GRANTED)
    daemon = start("--socket-mode", "0666", "--policy", str(policy), folder=open_folder)
    port = free_port()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(ANN)
            os.setuid(ANN)
            made = ensure(daemon, "web", listening(port))
            status = 0 if made["owner"]["uid"] == ANN else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    daemon.stop()
    daemon = start("--policy", str(policy))
    assert shown(daemon, "sockets/web")["owner"]["uid"] == ANN
    assert shown(daemon, "names/web")["owner"]["uid"] == ANN


def test_one_whose_address_is_taken_is_told_and_made_once_it_is_free(start):
    port, other = free_port(), free_port()
    daemon = start()
    ensure(daemon, "busy", listening(port))
    ensure(daemon, "other", listening(other))
    daemon.stop()
    with socket.create_server(("127.0.0.1", port)):
        daemon = start()
        told = shown(daemon, "names/busy")
        assert (told["socket"], told["persist"]) == (None, "boot")
        assert (told["failure"]["errno"], told["failure"]["syscall"]) == ("EADDRINUSE", "bind")
        assert told["retry_at"]
        assert shown(daemon, "names/other")["socket"] == shown(daemon, "sockets/other")["fd"]
        assert shown(daemon, "sockets/other")["state"] == "listening"
        assert daemon.log.count("busy is not made again yet") == 1
    found = await_socket(daemon, "busy")
    assert (found["failure"], found["retry_at"]) == (None, None)
    assert shown(daemon, "sockets/busy")["local"]["port"] == port


def test_what_was_closed_on_purpose_stays_closed(start):
    daemon = start()
    for name in ("a", "b", "c"):
        ensure(daemon, name, listening(0))
    assert daemon.request("DELETE", "/v1/sockets/a").status == 204
    assert daemon.request("DELETE", "/v1/names/b").status == 204
    daemon.stop()
    assert [each["name"] for each in shown(start(), "names")["names"]] == ["c"]


def test_a_unix_listener_of_a_killed_daemon_is_made_again(start, tmp_path):
    path = tmp_path / "local.sock"
    daemon = start()
    ensure(daemon, "local", {"bind": str(path), "listen": True, "persist": "boot"})
    os.killpg(daemon.process.pid, signal.SIGKILL)
    daemon.kill()
    assert path.is_socket()
    daemon = start()
    assert shown(daemon, "sockets/local")["local"]["path"] == str(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_broken_and_a_newer_file_are_told_and_left_alone(start, tmp_path):
    folder = tmp_path / "state" / "sockets"
    folder.mkdir(parents=True)
    texts = {"broken": "{", "newer": '{"version": 2}'}
    for name, text in texts.items():
        (folder / name).write_text(text)
    daemon = start()
    ensure(daemon, "web", listening(0))
    assert {each["name"]: each["socket"] is None for each in shown(daemon, "names")["names"]} == {
        "broken": True,
        "newer": True,
        "web": False,
    }
    assert "version 2" in shown(daemon, "names/newer")["failure"]["detail"]
    assert "version 2" in daemon.log
    assert daemon.request("PUT", "/v1/names/newer", listening(0)).status == 409
    daemon.stop()
    assert {name: (folder / name).read_text() for name in texts} == texts


def test_a_state_directory_in_use_is_told_and_taken_over_when_it_is_free(start):
    first = start()
    port = free_port()
    ensure(first, "web", listening(port))
    second = start()
    refused = second.request("PUT", "/v1/names/other", listening(0))
    assert (refused.status, refused.json()["errno"], refused.json()["syscall"]) == (503, "EBUSY", "flock")
    assert second.request("POST", "/v1/sockets", {}).status == 201
    first.stop()
    deadline = time.monotonic() + RETRIED_S
    while second.request("GET", "/v1/sockets/web").status != 200:
        assert time.monotonic() < deadline, second.log
        select.select([], [], [], 0.05)
    assert shown(second, "sockets/web")["local"]["port"] == port


@pytest.mark.needs("unshare", "mount")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_full_disk_is_told_and_leaves_nothing_half_made(start, tmp_path):
    (tmp_path / "state").mkdir()
    launcher = (
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        ON_A_SMALL_DISK,
        str(tmp_path / "state"),
    )
    daemon = start(launcher=launcher)
    port = free_port()
    ensure(daemon, "first", listening(0))  # it takes the only page there is
    answer = daemon.request("PUT", "/v1/names/second", listening(port))
    told = answer.json()
    assert (answer.status, told["code"], told["errno"], told["syscall"]) == (
        503,
        "not_saved",
        "ENOSPC",
        "write",
    )
    assert answer.headers["Retry-After"]
    assert str(tmp_path / "state") in told["hint"]
    assert daemon.request("GET", "/v1/names/second").status == 404
    with socket.create_server(("127.0.0.1", port)):
        pass
    assert daemon.request("DELETE", "/v1/names/first").status == 204
    ensure(daemon, "second", listening(port))


def test_a_name_without_an_address_is_told_and_stops_no_other(start, tmp_path):
    """Nothing under .invalid ever has one (RFC 6761)."""
    daemon = start()
    ensure(daemon, "web", listening(0))
    saved = (tmp_path / "state" / "sockets" / "web").read_text()
    daemon.stop()
    named = saved.replace('"web"', '"named"').replace("127.0.0.1:0", "nowhere.invalid:80")
    (tmp_path / "state" / "sockets" / "named").write_text(named)
    daemon = start()
    assert shown(daemon, "sockets/web")["state"] == "listening"
    deadline = time.monotonic() + RETRIED_S
    while (failure := shown(daemon, "names/named")["failure"]) is None:
        assert time.monotonic() < deadline
        select.select([], [], [], 0.05)
    assert failure["errno"].startswith("EAI_")
