"""``socketd run`` whole: what dies or is replaced comes back with every socket, and no request is lost."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading

import pytest

from socketd.access import tokens
from tests.supervisor_process import await_gone
from tests.system.place import await_true
from tests.system.run_process import PROGRAMS, identity, run, status_by_tcp

__all__ = ["run"]  # a fixture


@pytest.mark.parametrize("dies", [("serve",), ("keep",), ("keep", "serve")], ids="+".join)
def test_sockets_outlive_every_process_that_has_them(run, dies):
    daemon = run()
    before = daemon.make("web")
    daemon.await_kept("web", "supervisor")
    host, port = before["local"]["host"], before["local"]["port"]
    with socket.create_connection((host, port)) as client:
        client.sendall(b"hello")
        programs = daemon.programs()
        for name in dies:
            os.killpg(programs[name], signal.SIGKILL)
        for name in dies:
            await_gone(programs[name])
        daemon.await_kept("web", "supervisor")
        assert identity(daemon.look("web")) == identity(before)
        accepted = daemon.request("POST", "/v1/sockets/web/accept", {}).json()
        received = daemon.request("POST", f"/v1/sockets/{accepted['sockets'][0]['fd']}/recv", {})
        assert received.body == b"hello"
    assert {name for name in PROGRAMS if daemon.programs()[name] != programs[name]} == set(dies)


def test_worker_that_hangs_is_replaced(run):
    # The watchdog of the supervisor's own manager is its children's too.
    daemon = run(environ={"WATCHDOG_USEC": "5000000"})
    before = daemon.make("web")
    master, worker = daemon.programs()["serve"], daemon.pid
    os.kill(worker, signal.SIGSTOP)
    assert identity(daemon.look("web")) == identity(before)  # asked of the one, answered by the other
    assert daemon.pid != worker
    for pid in (master, worker):
        await_gone(pid)
    assert f"daemon (pid {master}): no WATCHDOG=1 for 5 s; killing it" in daemon.log


def test_requests_while_there_is_no_daemon_are_answered_by_the_next(run):
    daemon = run()
    master, worker = daemon.programs()["serve"], daemon.pid
    os.kill(master, signal.SIGSTOP)  # it starts no other worker
    os.kill(worker, signal.SIGKILL)
    await_gone(worker)
    connection = daemon.connection()
    try:
        connection.request("GET", "/v1/")
        os.kill(master, signal.SIGKILL)
        assert connection.getresponse().status == 200
    finally:
        connection.close()


def test_replacement_loses_no_request(run):
    daemon = run()
    before = daemon.make("web")
    stop = threading.Event()
    answered: list[int] = []
    failed: list[object] = []

    def ask() -> None:
        while not stop.is_set():
            try:
                answer = daemon.request("GET", "/v1/sockets/web")
            except OSError as error:
                failed.append(error)
                return
            (answered if answer.status == 200 else failed).append(answer.status)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            master, count = daemon.programs()["serve"], len(answered)
            daemon.process.send_signal(signal.SIGUSR1)
            await_gone(master)
            daemon.await_notification("READY=1")
            await_true(lambda: len(answered) > count + 20 or bool(failed), lambda: daemon.log)  # noqa: B023
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert identity(daemon.look("web")) == identity(before)
    assert "starting another" not in daemon.log


def test_reload_changes_what_can_be_changed(run, tmp_path):
    file = tmp_path / "socketd.toml"
    file.write_text("default_timeout_s = 7\n")
    daemon = run("--config", str(file))
    worker = daemon.pid
    file.write_text("default_timeout_s = 8\n")
    daemon.process.send_signal(signal.SIGHUP)
    assert "MONOTONIC_USEC" in daemon.await_notification("RELOADING=1")
    daemon.await_notification("READY=1")
    service = daemon.request("GET", "/v1/").json()
    assert service["limits"]["default_timeout_s"] == 8
    assert service["pid"] == worker


def test_tcp_port_and_token_outlive_the_daemon_and_the_banner_is_printed_once(run):
    daemon = run("--tcp", "127.0.0.1:0", "--banner")
    daemon.await_log("-X DELETE")
    url = re.search(r"http://127\.0\.0\.1:[0-9]+", daemon.log)[0]
    token = re.search(r"SOCKETD_TOKEN=(\S+)", daemon.log)[1]
    assert status_by_tcp(url, token) == 200
    master = daemon.programs()["serve"]
    os.killpg(master, signal.SIGKILL)
    daemon.await_notification("READY=1")
    assert daemon.programs()["serve"] != master
    assert status_by_tcp(url, token) == 200
    log = daemon.stop()
    assert log.count("Ctrl-C stops it") == 1
    assert log.count(token) == 1


def test_token_that_is_configured_reaches_the_daemon(run, tmp_path):
    path = tmp_path / "token"
    path.write_text(tokens.lines("ci", "sesame"))
    path.chmod(0o600)
    daemon = run("--tcp", "127.0.0.1:0", "--token-file", str(path), "--banner")
    daemon.await_log("-X DELETE")
    url = re.search(r"http://127\.0\.0\.1:[0-9]+", daemon.log)[0]
    assert status_by_tcp(url, "sesame") == 200
    assert status_by_tcp(url, "x") == 401
