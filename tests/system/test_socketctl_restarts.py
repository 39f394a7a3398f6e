"""Programs started by ``socketctl exec``: whatever becomes of them, none of their connections is lost."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys

import pytest

from tests.ports import free_port
from tests.socketctl_process import REQUEST, Started, ask, await_that, load, socketctl
from tests.system.consumers import ANSWER, prepare

RESTARTS = 20


@pytest.mark.parametrize(
    "kind",
    [
        "systemd-style",
        "gunicorn",
        "gunicorn fd",
        pytest.param("nginx", marks=pytest.mark.needs("nginx")),
        pytest.param("haproxy", marks=pytest.mark.needs("haproxy")),
    ],
)
def test_restarts_under_steady_connects_lose_no_connection(daemon, tmp_path, kind, capsys):
    port = free_port()
    address = ("127.0.0.1", port)
    consumer = prepare(kind, tmp_path, f"127.0.0.1:{port}")
    command = ("exec", "--listen", f"web=127.0.0.1:{port}", *consumer.words)
    program = Started(daemon, tmp_path, *command)
    try:
        await_that(lambda: "web" in socketctl(daemon.url, "ls", "-q").stdout, lambda: program.log)
        with load(address, ANSWER) as clients:
            clients.await_answers()
            for _ in range(RESTARTS):
                program.end(consumer.stop)
                program = Started(daemon, tmp_path, *command)
                clients.await_answers(5)
    finally:
        program.kill()
        daemon.request("DELETE", "/v1/sockets/web")
    with capsys.disabled():
        figures = f"{len(clients.answers)} connections, longest stall {clients.longest_s * 1000:.0f} ms"
        sys.stdout.write(f"\n{kind}: {RESTARTS} restarts, {figures}\n")
    assert clients.failures == []


def test_connections_of_a_full_backlog_outlive_the_kill_and_are_served_by_the_next(daemon, tmp_path):
    port = free_port()
    consumer = prepare("systemd-style", tmp_path, "")
    options = ("exec", "--listen", f"web=127.0.0.1:{port}", "--backlog", "4")
    stuck = Started(daemon, tmp_path, *options, "--", "sleep", "600")
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(daemon.request, "DELETE", "/v1/sockets/web")
        cleanup.callback(stuck.kill)
        await_that(lambda: _command_of(stuck.process.pid) == "sleep", lambda: stuck.log)
        waiting = _fill(port, cleanup)
        assert len(waiting) == 5
        assert stuck.end(signal.SIGKILL) == -signal.SIGKILL
        following = Started(daemon, tmp_path, *options, *consumer.words)
        cleanup.callback(following.kill)
        for client in waiting:
            client.settimeout(60)
            assert ANSWER in client.recv(65536)


def test_uvicorn_serves_by_number_what_came_while_it_was_down(daemon, tmp_path):
    # Not under load: told to end, uvicorn closes connections that it accepted and that have not asked yet.
    port = free_port()
    consumer = prepare("uvicorn", tmp_path, "")
    command = ("exec", "--listen", f"web=127.0.0.1:{port}", *consumer.words)
    for _ in range(2):
        program = Started(daemon, tmp_path, *command)
        try:
            await_that(lambda: "web" in socketctl(daemon.url, "ls", "-q").stdout, lambda: "web")
            assert ANSWER in ask(("127.0.0.1", port))
        finally:
            program.end(signal.SIGKILL)
        with socket.create_connection(("127.0.0.1", port), 60) as early:
            early.sendall(REQUEST)
            program = Started(daemon, tmp_path, *command)
            try:
                assert ANSWER in early.makefile("rb").read()
            finally:
                program.end(signal.SIGKILL)
    daemon.request("DELETE", "/v1/sockets/web")


def _fill(port, cleanup):
    """Connect until the queue is full: the kernel takes one more than the backlog, then answers no SYN."""
    waiting = []
    while True:
        client = cleanup.enter_context(socket.socket())
        client.settimeout(0.5)
        try:
            client.connect(("127.0.0.1", port))
        except TimeoutError:
            return waiting
        client.sendall(REQUEST)
        waiting.append(client)


def _command_of(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
        return file.read().split(b"\0")[0].decode()
