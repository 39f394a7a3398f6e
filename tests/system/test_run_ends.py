"""``socketd run`` ends and leaves nothing; what cannot start starts nothing."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.supervisor_process import await_gone
from tests.system.run_process import run

__all__ = ["run"]  # a fixture


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_end_leaves_nothing(run, tmp_path, number):
    daemon = run()
    folder = Path(daemon.socket_path).parent
    port = daemon.make("web")["local"]["port"]
    file = tmp_path / "held.sock"
    unix = {"name": "unix", "family": "unix", "bind": {"path": str(file)}, "listen": {}}
    answer = daemon.request("POST", "/v1/sockets", unix)
    assert answer.status == 201, answer.body
    assert file.is_socket()
    everybody = daemon.everybody()
    if number == signal.SIGINT:
        os.killpg(daemon.process.pid, number)  # as Ctrl-C in a terminal does
    else:
        daemon.process.send_signal(number)
    assert daemon.await_notification("STOPPING=1")
    daemon.check_end()
    assert [pid for pid in everybody if Path(f"/proc/{pid}").exists()] == []
    assert not file.exists()
    assert {path.name for path in folder.iterdir()} == {"log0", "notify0"}
    with socket.socket() as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ours.bind(("127.0.0.1", port))
        ours.listen()


def test_killed_supervisor_leaves_no_process_and_is_started_again(run):
    daemon = run()
    everybody = daemon.everybody()
    daemon.process.kill()
    daemon.process.wait()
    for pid in everybody:
        await_gone(pid)
    again = run(folder=Path(daemon.socket_path).parent)
    assert again.request("GET", "/healthz").status == 200


def test_second_supervisor_on_the_same_path_starts_nothing(run):
    first = run()
    second = run(ready=False, folder=Path(first.socket_path).parent)
    log = second.check_end(1)
    pid = first.process.pid
    assert log == f"socketd: {first.socket_path}: another daemon serves there (pid {pid})\n"
    assert first.request("GET", "/healthz").status == 200


def test_keeper_of_another_supervisor_ends_the_start(run, tmp_path):
    path = str(tmp_path / "keeper.sock")
    first = run("--keeper", path)
    second = run("--keeper", path, ready=False)
    log = second.check_end(1)
    assert f"another keeper serves there (pid {first.programs()['keep']})" in log
    assert "before it was ready; not trying again" in log
    assert not Path(second.socket_path).exists()
    assert first.request("GET", "/v1/").json()["keeper"] == "up"


def test_bad_token_file_is_one_line_and_starts_nothing(run, tmp_path):
    path = tmp_path / "token"
    daemon = run("--tcp", "127.0.0.1:0", "--token-file", str(path), ready=False)
    assert daemon.check_end(2) == f"socketd: token_file {path}: No such file or directory\n"
    assert not Path(daemon.socket_path).exists()
