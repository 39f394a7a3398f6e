"""A real daemon from its start to its end: nobody is cut off, nothing is left, nothing is lost on the way."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon_process import Answer, DaemonProcess

LONG_S = 600  # a graceful time that a daemon which waits it out never survives in these tests
LISTENER = {"bind": {"host": "127.0.0.1", "port": 0}, "listen": {"backlog": 8}}


def listener(daemon: DaemonProcess, name: str) -> int:
    """Create a listening socket; return its descriptor number."""
    answer = daemon.request("POST", "/v1/sockets", {"name": name, **LISTENER})
    assert answer.status == 201, answer.body
    return int(answer.json()["fd"])


def await_waits(daemon: DaemonProcess, fd: int) -> None:
    """Block until somebody waits on the daemon's descriptor: its epoll instances tell in /proc."""
    deadline = time.monotonic() + 30
    folder = Path(f"/proc/{daemon.pid}/fdinfo")
    while time.monotonic() < deadline:
        for file in folder.iterdir():
            with suppress(FileNotFoundError):
                if f"tfd: {fd:8} " in file.read_text():
                    return
    raise TimeoutError(f"nobody waits on {fd}")


@contextmanager
def waiting_accept(daemon: DaemonProcess, name: str) -> Iterator[list[Answer]]:
    """Have an accept wait while the body runs; its answer is in the list afterwards."""
    fd = listener(daemon, name)
    answers: list[Answer] = []

    def accept() -> None:
        answers.append(daemon.request("POST", f"/v1/sockets/{name}/accept", {"timeout": 60}))

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        await_waits(daemon, fd)
        yield answers
    finally:
        thread.join()


def closed(connection: socket.socket) -> bool:
    """Whether the other side has ended it, waiting for that if need be."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return bool(poll.poll(30_000))


def test_ready_is_told_by_the_worker_with_the_main_pid(fresh_daemon, capsys):
    begin = time.monotonic()
    daemon = fresh_daemon(ready=False)
    message = daemon.await_notification("READY=1")
    assert daemon.request("GET", "/healthz").status == 200
    took = time.monotonic() - begin
    with capsys.disabled():
        sys.stdout.write(f"\nfrom exec to the first answer: {took:.2f} s\n")
    assert message["MAINPID"] == str(daemon.process.pid)
    assert daemon.socket_path in message["STATUS"]
    assert daemon.children() == [daemon.pid]


def test_stop_answers_the_waiting_with_503_and_retry_after(fresh_daemon):
    daemon = fresh_daemon("--graceful-timeout-s", str(LONG_S))
    with waiting_accept(daemon, "web") as answers:
        daemon.process.terminate()
    (answer,) = answers
    assert answer.status == 503
    assert answer.json()["code"] == "shutting_down"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Connection"] == "close"
    daemon.await_notification("STOPPING=1")
    daemon.check_end()


def test_stop_does_not_wait_for_idle_connections(fresh_daemon):
    daemon = fresh_daemon("--graceful-timeout-s", str(LONG_S))
    used, unused = daemon.connection(), daemon.connection()
    try:
        used.request("GET", "/healthz")
        used.getresponse().read()
        unused.connect()
        daemon.stop()
        assert closed(used.sock)
        assert closed(unused.sock)
    finally:
        used.close()
        unused.close()


def test_stop_lets_a_running_request_finish(fresh_daemon):
    daemon = fresh_daemon("--graceful-timeout-s", str(LONG_S))
    connection = daemon.connection()
    try:
        connection.putrequest("POST", "/v1/sockets")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "2")
        connection.endheaders(b"{")
        daemon.request("GET", "/healthz")  # one that came later is answered: the first is in hand
        daemon.process.terminate()
        daemon.await_notification("STOPPING=1")
        connection.send(b"}")
        response = connection.getresponse()
        response.read()
        assert response.status == 201
        assert response.headers["Connection"] == "close"
    finally:
        connection.close()
    daemon.check_end()


def test_request_that_does_not_end_is_cut_off_in_time(fresh_daemon):
    daemon = fresh_daemon("--graceful-timeout-s", "0.2")
    connection = daemon.connection()
    try:
        connection.putrequest("POST", "/v1/sockets")
        connection.putheader("Content-Length", "2")
        connection.endheaders(b"{")
        daemon.request("GET", "/healthz")
        log = daemon.stop()
        assert "1 requests did not end in time" in log
        assert closed(connection.sock)
    finally:
        connection.close()


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM], ids=lambda number: number.name
)
def test_signal_to_the_whole_group_ends_it_cleanly(fresh_daemon, number):
    """As Ctrl-C in a terminal does."""
    daemon = fresh_daemon("--graceful-timeout-s", str(LONG_S))
    with waiting_accept(daemon, "web") as answers:
        os.killpg(daemon.process.pid, number)
    assert answers[0].status == 503
    daemon.check_end()


def test_told_to_stop_while_it_starts_it_stops(fresh_daemon):
    daemon = fresh_daemon("--graceful-timeout-s", str(LONG_S), "--log-level", "debug", ready=False)
    daemon.await_log("Booting worker with pid")  # forked; the worker has no handlers of its own yet
    daemon.stop()


def test_end_closes_what_is_held_and_leaves_no_path(fresh_daemon, tmp_path):
    daemon = fresh_daemon()
    path = str(tmp_path / "held.sock")
    answer = daemon.request("POST", "/v1/sockets", {"family": "unix", "bind": path, "listen": True})
    assert answer.status == 201, answer.body
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        daemon.stop()
        assert closed(peer)
    assert list(tmp_path.iterdir()) == []
    assert not Path(daemon.socket_path).exists()
    assert not Path(daemon.socket_path + ".lock").exists()


@pytest.mark.parametrize(
    "number", [signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU], ids=lambda number: number.name
)
@pytest.mark.parametrize("whom", ["master", "worker"])
def test_signal_that_would_lose_or_double_sockets_is_refused(daemon, number, whom):
    fd = listener(daemon, f"kept-{number.name}-{whom}")
    pid = daemon.pid
    seen = daemon.log.count("signal refused")
    if whom == "master":
        daemon.process.send_signal(number)
        deadline = time.monotonic() + 30
        while daemon.log.count("signal refused") == seen and time.monotonic() < deadline:
            daemon.request("GET", "/healthz")
        assert daemon.log.count("signal refused") == seen + 1
    else:
        os.kill(pid, number)
    assert daemon.request("GET", f"/v1/sockets/{fd}").status == 200
    assert daemon.pid == pid
    assert daemon.children() == [pid]


def test_worker_that_is_killed_is_replaced_and_the_loss_is_logged(fresh_daemon):
    daemon = fresh_daemon()
    first = daemon.pid
    os.kill(first, signal.SIGKILL)
    daemon.await_notification("READY=1")
    assert daemon.pid != first
    assert f"the worker (pid {first}) died, and every socket it held is gone" in daemon.log


def test_worker_ends_when_its_master_is_killed(fresh_daemon, tmp_path):
    daemon = fresh_daemon("--graceful-timeout-s", str(LONG_S))
    path = tmp_path / "held.sock"
    assert daemon.request("POST", "/v1/sockets", {"family": "unix", "bind": str(path)}).status == 201
    worker = os.pidfd_open(daemon.pid)
    try:
        daemon.process.kill()
        assert select.select([worker], [], [], 30)[0]
    finally:
        os.close(worker)
    assert "Traceback" not in daemon.log
    assert not path.exists()


def test_watchdog_hears_of_the_loop(fresh_daemon):
    daemon = fresh_daemon(environ={"WATCHDOG_USEC": "100000"})
    daemon.await_notification("WATCHDOG=1")
    daemon.await_notification("WATCHDOG=1")
