"""`socketd run` whole: what dies comes back with every socket, and what ends leaves nothing."""

from __future__ import annotations

import http.client
import os
import re
import select
import signal
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from socketd.access import tokens
from tests.daemon_process import DaemonProcess
from tests.supervisor_process import await_gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAIT_S = 60.0
PROGRAMS = ("keep", "serve")


class RunProcess(DaemonProcess):
    """One ``python -m socketd run``; ``process`` is the supervisor."""

    COMMAND = "run"

    def programs(self) -> dict[str, int]:
        """Return the process ids of its children, by command."""
        found = {}
        for pid in self.children():
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            found |= {name: pid for name in PROGRAMS if name in words}
        return found

    def everybody(self) -> list[int]:
        """Return the process ids of all: keeper, master and worker."""
        return [*self.programs().values(), self.pid]

    def make(self, name: str, **more: object) -> dict[str, object]:
        """Make a listening TCP socket; return its record."""
        body = {"name": name, "bind": {"host": "127.0.0.1", "service": "0"}, "listen": {"backlog": 8}, **more}
        answer = self.request("POST", "/v1/sockets", body)
        assert answer.status == 201, answer.body
        return answer.json()

    def look(self, name: str) -> dict[str, object]:
        """Return the record of a held socket."""
        answer = self.request("GET", f"/v1/sockets/{name}")
        assert answer.status == 200, answer.body
        return answer.json()

    def await_kept(self, name: str, by: str) -> None:
        """Block until that one has a copy of the socket."""
        await_true(lambda: self.look(name)["kept"] == by, lambda: f"{self.look(name)}\n{self.log}")


def await_true(condition: Callable[[], bool], failure: Callable[[], str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, failure()
        select.select([], [], [], 0.01)  # what another process does cannot be polled


def status_by_tcp(url: str, token: str) -> int:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=WAIT_S)
    try:
        connection.request("GET", "/v1/", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status
    finally:
        connection.close()


def identity(record: dict[str, object]) -> tuple[object, ...]:
    return tuple(record[key] for key in ("fd", "name", "inode", "cookie", "created_at"))


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunProcess]]:
    """Start supervisors; what still runs at the end is stopped, and has to end well."""
    started: list[RunProcess] = []

    def start(*flags: str, ready: bool = True, folder: Path | None = None, **more: object) -> RunProcess:
        one = RunProcess(folder or tmp_path_factory.mktemp("run"), flags, **more)
        started.append(one)
        if ready:
            one.await_notification("READY=1")
        return one

    try:
        yield start
        for one in started:
            if one.process.poll() is None:
                one.stop()
    finally:
        for one in started:
            one.kill()


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


def test_supervisor_is_small(run):
    daemon = run()
    mapped = Path(f"/proc/{daemon.process.pid}/maps").read_text()
    assert not re.search("gevent|greenlet", mapped)
    assert "_ctypes" in mapped  # else the names of what is loaded would not be in there at all


def test_each_child_is_told_of_what_is_its_own(run):
    daemon = run()
    keeper = Path(f"/proc/{daemon.programs()['keep']}/environ").read_text()
    assert "LISTEN_FDS" not in keeper
    assert "SOCKETD_SUPERVISOR=run" in keeper
    serve = Path(f"/proc/{daemon.programs()['serve']}/environ").read_text()
    assert "LISTEN_FDNAMES=api" in serve
    assert "FDSTORE" not in serve


@pytest.mark.needs("prlimit")
def test_store_leaves_room_where_descriptors_are_few(run):
    daemon = run(launcher=["prlimit", "--nofile=256:256"])
    keeper = Path(f"/proc/{daemon.programs()['keep']}/environ").read_text()
    assert "FDSTORE=96\0" in keeper
    many = {"count": 120, "bind": {"host": "127.0.0.1", "service": "0"}}
    made = daemon.request("POST", "/v1/sockets", many).json()["sockets"]
    assert len(made) == 120
    last = str(made[94]["fd"])  # 95 and the notes
    daemon.await_kept(last, "supervisor")
    for pid in daemon.programs().values():
        os.killpg(pid, signal.SIGKILL)
    daemon.await_notification("READY=1")
    held = daemon.request("GET", "/v1/sockets?limit=1000").json()["sockets"]
    assert {each["inode"] for each in held} == {each["inode"] for each in made[:95]}


@pytest.mark.needs("unshare")
@pytest.mark.skipif(os.getuid() != 0, reason="only root makes process namespaces")
def test_it_can_be_process_1_of_a_container(run):
    daemon = run(launcher=["unshare", "--pid", "--fork", "--mount-proc"])
    before = daemon.make("web")
    (supervisor,) = daemon.children()
    assert daemon.pid != 1
    programs = [
        int(pid) for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    ]
    for pid in programs:
        os.killpg(pid, signal.SIGKILL)
    daemon.await_notification("READY=1")
    assert identity(daemon.look("web")) == identity(before)
    os.kill(supervisor, signal.SIGTERM)
    daemon.check_end()
