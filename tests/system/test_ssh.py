"""``socketctl nc`` as ssh's ProxyCommand, with a real ssh and a real sshd."""

from __future__ import annotations

import getpass
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.socketctl_process import PATIENCE_S, SOCKETCTL, environment
from tests.system.place import await_true
from tests.system.secure_shell import running_sshd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.daemon_process import DaemonProcess

pytestmark = pytest.mark.needs("sshd", "ssh", "ssh-keygen")
TOKEN = "a-token"
MEGABYTE = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    folder = tmp_path_factory.mktemp("ssh")
    with running_sshd(folder) as port:
        yield folder, port


def ssh(
    daemon: DaemonProcess,
    sshd: tuple[Path, int],
    command: str,
    sent: bytes,
    *,
    takes: bool = False,
    url: str | None = None,
) -> subprocess.CompletedProcess[bytes]:
    folder, port = sshd
    proxy = [*SOCKETCTL, "nc", *(["-F"] if takes else []), "%h", "%p"]
    arguments = [
        "-F/dev/null",
        f"-oProxyCommand={' '.join(proxy)}",
        f"-oProxyUseFdpass={'yes' if takes else 'no'}",
        f"-oIdentityFile={folder / 'client'}",
        f"-oUserKnownHostsFile={folder / 'known'}",
        "-oStrictHostKeyChecking=no",
        "-oIdentitiesOnly=yes",
        "-oBatchMode=yes",
        f"-p{port}",
        f"{getpass.getuser()}@127.0.0.1",
        command,
    ]
    return subprocess.run(
        ["ssh", *arguments],
        input=sent,
        capture_output=True,
        env={**environment(url or daemon.url), "SOCKETD_TOKEN": TOKEN},
        timeout=PATIENCE_S,
        check=False,
    )


def test_a_command_that_fails_there_fails_here(daemon: DaemonProcess, sshd: tuple[Path, int]) -> None:
    done = ssh(daemon, sshd, "exit 7", b"")
    assert done.returncode == 7, done.stderr


def test_a_megabyte_and_its_end_go_there_and_back(daemon: DaemonProcess, sshd: tuple[Path, int]) -> None:
    done = ssh(daemon, sshd, "cat", MEGABYTE)
    assert done.returncode == 0, done.stderr
    assert done.stdout == MEGABYTE


def test_ssh_takes_the_descriptor_itself(daemon: DaemonProcess, sshd: tuple[Path, int]) -> None:
    done = ssh(daemon, sshd, "cat", MEGABYTE, takes=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == MEGABYTE


def test_over_tcp_a_tunnel_carries_it(
    fresh_daemon: Callable[..., DaemonProcess], sshd: tuple[Path, int]
) -> None:
    daemon = fresh_daemon("--tcp", "127.0.0.1:0", environ={"SOCKETD_TOKEN": TOKEN})
    daemon.await_log("http://127.0.0.1:")
    (url,) = set(re.findall(r"http://127\.0\.0\.1:\d+", daemon.log))
    done = ssh(daemon, sshd, "cat", MEGABYTE, url=url)
    assert done.returncode == 0, done.stderr
    assert done.stdout == MEGABYTE
    # ssh tells its ProxyCommand to end, and does not wait for that.
    await_true(lambda: daemon.request("GET", "/v1/sockets").json()["sockets"] == [], lambda: daemon.log)
    events = daemon.request("GET", "/v1/events?after=0&timeout=0").body
    assert b'"tunnel_opened"' in events


def test_no_socket_is_left_behind(daemon: DaemonProcess, sshd: tuple[Path, int]) -> None:
    assert ssh(daemon, sshd, "true", b"").returncode == 0
    assert daemon.request("GET", "/v1/sockets").json()["sockets"] == []
