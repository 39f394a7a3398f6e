"""``socketctl run``: replacement without a lost connection, crashes, signals, and what it is as process 1."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import sys
import time
from contextlib import contextmanager

import pytest

from tests.held import free_tcp_port
from tests.socketctl_process import PATIENCE_S, Started, ask, await_that, load, socketctl
from tests.system.consumers import ANSWER, prepare

RELOADS = 20
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a pid namespace of its own needs root")


@contextmanager
def running(daemon, folder, options, words, **more):
    """Run a program on a socket of its own; nothing of it is left afterwards."""
    port = free_tcp_port()
    command = ("run", "--listen", f"web=127.0.0.1:{port}", *options, "--", *words)
    started = Started(daemon, folder, *command, **more)
    started.address = ("127.0.0.1", port)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.terminate()
            try:
                started.wait()
            finally:
                started.kill()
        daemon.request("DELETE", "/v1/sockets/web")


def shell(script):
    """Make a shell of the script, which it does not exec into."""
    return "sh", "-c", script


def serving(folder, mode=""):
    """Write the program that serves, and how it does so."""
    (folder / "mode").write_text(mode)
    return prepare("systemd-style", folder, "").words[1:]


def served_by(address):
    """Ask who serves."""
    return int(re.search(rb"served by (\d+)", ask(address))[1])


def test_reload_under_load_replaces_the_program_and_loses_nothing(daemon, tmp_path, capsys):
    with running(daemon, tmp_path, ("--notify",), serving(tmp_path)) as run:
        run.await_log("is ready")
        with load(run.address, ANSWER) as clients:
            clients.await_answers()
            for nth in range(RELOADS):
                run.send(signal.SIGHUP)
                run.await_log("ended with status 0", nth + 1)
                clients.await_answers()
        pids = {re.search(rb"served by (\d+)", answer)[1] for answer in clients.answers}
    figures = f"{len(clients.answers)} connections, longest stall {clients.longest_s * 1000:.0f} ms"
    with capsys.disabled():
        sys.stdout.write(f"\nrun: {RELOADS} reloads, {figures}\n")
    assert clients.failures == []
    assert len(pids) == RELOADS + 1


def test_a_new_program_that_fails_leaves_the_old_one_serving(daemon, tmp_path):
    with running(daemon, tmp_path, ("--notify",), serving(tmp_path)) as run:
        run.await_log("is ready")
        before = served_by(run.address)
        (tmp_path / "mode").write_text("fail")
        run.send(signal.SIGHUP)
        run.await_log("the next one failed")
        assert "ended with status 7" in run.log
        assert served_by(run.address) == before
        (tmp_path / "mode").write_text("")
        run.send(signal.SIGHUP)
        run.await_log("ended with status 0")
        assert served_by(run.address) != before


def test_a_new_program_that_never_says_ready_is_ended_and_the_old_one_stays(daemon, tmp_path):
    options = ("--notify", "--start-timeout", "0.5")
    with running(daemon, tmp_path, options, serving(tmp_path)) as run:
        run.await_log("is ready")
        before = served_by(run.address)
        (tmp_path / "mode").write_text("silent")
        run.send(signal.SIGHUP)
        run.await_log("the next one failed")
        assert "did not say READY=1 in 0.5 s" in run.log
        assert served_by(run.address) == before


def test_a_new_program_that_cannot_be_executed_leaves_the_old_one_serving(daemon, tmp_path):
    program = tmp_path / "program"
    words = serving(tmp_path)
    program.write_text(f"#!/bin/sh\nexec {words[0]} {words[1]}\n")
    program.chmod(0o755)
    with running(daemon, tmp_path, ("--notify",), (str(program),)) as run:
        run.await_log("is ready")
        before = served_by(run.address)
        program.unlink()
        run.send(signal.SIGHUP)
        run.await_log("the next one failed")
        assert "ENOENT" in run.log
        assert served_by(run.address) == before


def test_a_silent_program_that_still_runs_after_the_delay_is_ready(daemon, tmp_path):
    with running(daemon, tmp_path, ("--ready-delay", "0.2"), serving(tmp_path, "silent")) as run:
        run.await_log("is ready")
        before = served_by(run.address)
        run.send(signal.SIGHUP)
        run.await_log("ended with status 0")
        assert served_by(run.address) != before


def test_hangups_during_a_reload_make_one_more_reload(daemon, tmp_path):
    with running(daemon, tmp_path, ("--ready-delay", "0.5"), serving(tmp_path, "silent")) as run:
        run.await_log("started")
        for _ in range(3):
            run.send(signal.SIGHUP)
            time.sleep(0.01)  # apart from each other: equal signals merge while they are pending
        run.await_log("ended with status 0")
        run.await_log("is ready", 2)
        assert run.end() == 0
        assert run.log.count("started") == 2


def test_crashes_are_restarted_later_each_time_up_to_a_cap_and_then_given_up(daemon, tmp_path):
    options = ("--restart-delay", "0.01", "--restart-delay-max", "0.03", "--max-restarts", "4")
    with running(daemon, tmp_path, options, shell("exit 3")) as run:
        assert run.wait() == 3
        assert re.findall(r"again in (\S+) s", run.log) == ["0.01", "0.02", "0.03", "0.03"]


def test_connections_wait_for_a_crashed_program(daemon, tmp_path):
    with running(daemon, tmp_path, ("--notify",), serving(tmp_path)) as run:
        run.await_log("is ready")
        before = served_by(run.address)
        os.kill(before, signal.SIGKILL)
        assert served_by(run.address) != before
        assert "ended with status 137" in run.log


@pytest.mark.parametrize(
    ("restart", "script", "status"), [("on-failure", "exit 0", 0), ("never", "exit 9", 9)]
)
def test_a_program_that_is_done_ends_run_with_its_status(daemon, tmp_path, restart, script, status):
    with running(daemon, tmp_path, ("--restart", restart), shell(script)) as run:
        assert run.wait() == status


def test_always_restarts_a_program_that_ended_well(daemon, tmp_path):
    options = ("--restart", "always", "--restart-delay", "0.01", "--max-restarts", "2")
    with running(daemon, tmp_path, options, shell("exit 0")) as run:
        assert run.wait() == 0
        assert run.log.count("started") == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stop_signals_are_passed_on_and_the_status_too(daemon, tmp_path, number):
    name = number.name.removeprefix("SIG")
    script = f"trap 'exit 5' {name}; echo up; while :; do sleep 0.05; done"
    with running(daemon, tmp_path, (), shell(script)) as run:
        run.await_log("up")
        assert run.end(number) == 5


def test_a_program_that_a_signal_ended_is_128_and_its_number(daemon, tmp_path):
    with running(daemon, tmp_path, (), ("sleep", "600")) as run:
        run.await_log("started")
        assert run.end() == 128 + signal.SIGTERM


def test_another_stop_signal_is_used_for_the_old_one(daemon, tmp_path):
    script = "trap 'echo quit came; exit 0' QUIT; while :; do sleep 0.05; done"
    options = ("--ready-delay", "0.3", "--stop-signal", "quit")
    with running(daemon, tmp_path, options, shell(script)) as run:
        run.await_log("is ready")
        run.send(signal.SIGHUP)
        run.await_log("quit came")


def test_a_program_that_does_not_end_is_killed_with_its_children(daemon, tmp_path):
    script = "trap '' TERM; sleep 600 & echo child $! up; wait; wait"
    with running(daemon, tmp_path, ("--stop-timeout", "0.3"), shell(script)) as run:
        run.await_log(" up")
        child = int(re.search(r"child (\d+) up", run.log)[1])
        assert run.end() == 128 + signal.SIGKILL
        await_that(lambda: not _runs(child), lambda: f"the end of {child}")


def test_other_signals_reach_the_program(daemon, tmp_path):
    with running(daemon, tmp_path, ("--notify",), serving(tmp_path)) as run:
        run.await_log("is ready")
        run.send(signal.SIGUSR1)
        run.await_log("USR1 came")


def test_a_stop_while_the_program_is_down_ends_at_once(daemon, tmp_path):
    with running(
        daemon, tmp_path, ("--restart-delay", "600", "--restart-delay-max", "600"), shell("exit 3")
    ) as run:
        run.await_log("starting it again")
        assert run.end() == 128 + signal.SIGTERM


def test_a_program_that_is_not_there_is_127_and_one_that_cannot_run_126(daemon, tmp_path):
    (tmp_path / "data").write_text("no program")
    (tmp_path / "data").chmod(0o755)
    with running(daemon, tmp_path, (), ("no-such-program",)) as run:
        assert run.wait() == 127
    with running(daemon, tmp_path, (), (str(tmp_path / "data"),)) as run:
        assert run.wait() == 126


def test_every_generation_has_its_own_pid_in_listen_pid(daemon, tmp_path):
    options = ("--restart-delay", "0.01", "--max-restarts", "2")
    with running(daemon, tmp_path, options, shell('[ "$LISTEN_PID" = $$ ] && echo right; exit 1')) as run:
        assert run.wait() == 1
        assert run.log.count("right") == 3


@pytest.fixture
def manager(tmp_path):
    """The socket of a service manager that reads what sd_notify sends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_S)
        sock.bind(str(tmp_path / "manager"))
        yield sock


def notified(manager, wanted):
    """Return the lines of the first message that has one beginning with ``wanted``."""
    while True:
        lines = manager.recv(8192).decode().splitlines()
        if any(line.startswith(wanted) for line in lines):
            return lines


def test_a_service_manager_is_told_of_start_reload_and_stop_and_never_of_another_main_pid(
    daemon, tmp_path, manager
):
    extra = {"NOTIFY_SOCKET": str(tmp_path / "manager")}
    with running(daemon, tmp_path, ("--notify",), serving(tmp_path), extra=extra) as run:
        said = notified(manager, "READY=1")
        begun = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        run.send(signal.SIGHUP)
        reloading = dict(line.split("=", 1) for line in notified(manager, "RELOADING=1"))
        assert int(reloading["MONOTONIC_USEC"]) >= begun
        said += notified(manager, "READY=1")
        run.send(signal.SIGTERM)
        said += notified(manager, "STOPPING=1")
        assert run.wait() == 0
    assert not [line for line in said if line.startswith("MAINPID")]


def test_a_service_manager_is_told_ready_after_a_reload_that_failed(daemon, tmp_path, manager):
    extra = {"NOTIFY_SOCKET": str(tmp_path / "manager")}
    with running(daemon, tmp_path, ("--notify",), serving(tmp_path), extra=extra) as run:
        notified(manager, "READY=1")
        (tmp_path / "mode").write_text("fail")
        run.send(signal.SIGHUP)
        notified(manager, "RELOADING=1")
        assert any("Reload failed" in line for line in notified(manager, "READY=1"))


def test_the_programs_watchdog_reaches_the_service_manager(daemon, tmp_path, manager):
    words = serving(tmp_path)
    extra = {"NOTIFY_SOCKET": str(tmp_path / "manager")}
    ping = (
        "import os, socket; out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
        "out.connect('\\0' + os.environ['NOTIFY_SOCKET'][1:]); out.send(b'READY=1');"
        "[(out.send(b'WATCHDOG=1'), __import__('time').sleep(0.05)) for _ in iter(int, 1)]"
    )
    with running(daemon, tmp_path, ("--notify",), (words[0], "-c", ping), extra=extra):
        notified(manager, "WATCHDOG=1")


@NEEDS_ROOT
@pytest.mark.needs("unshare")
def test_as_process_1_it_reaps_orphans_passes_signals_on_and_ends_with_the_program(daemon, tmp_path):
    launcher = ("unshare", "--fork", "--pid", "--mount-proc", "--kill-child")
    script = (
        "(sleep 0.1 & echo orphan $!) ;"
        "trap 'echo zombies $(grep -l \"State:.Z\" /proc/[0-9]*/status 2>/dev/null | wc -l); exit 6' USR1;"
        "echo up; while :; do sleep 0.05; done"
    )
    with running(daemon, tmp_path, (), shell(script), launcher=launcher) as run:
        run.await_log("up")
        init = _child_of(run.process.pid)
        orphan = re.search(r"orphan (\d+)", run.log)[1]
        assert int(orphan) < 100  # a number of the namespace's
        await_that(lambda: len(_children(init)) == 1, lambda: f"{_children(init)}")
        os.kill(init, signal.SIGUSR1)
        run.await_log("zombies 0")
        run.await_log("ended with status 6")
        os.kill(init, signal.SIGTERM)
        assert run.wait() in (128 + signal.SIGTERM, 6)


def test_idle_it_sleeps(daemon, tmp_path):
    with running(daemon, tmp_path, ("--notify",), serving(tmp_path)) as run:
        run.await_log("is ready")
        await_that(lambda: _state(run.process.pid) == "S", lambda: "a sleeping parent")
        before = _ticks(run.process.pid)
        select.select([], [], [], 0.5)
        assert _ticks(run.process.pid) - before <= 1


def test_ls_shows_the_socket_as_taken(daemon, tmp_path):
    with running(daemon, tmp_path, ("--notify",), serving(tmp_path)) as run:
        run.await_log("is ready")
        assert '"taken": 1' in socketctl(daemon.url, "ls", "--name", "web", "--json").stdout


def _stat(pid):
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()


def _state(pid):
    return _stat(pid)[0]


def _ticks(pid):
    return sum(map(int, _stat(pid)[11:13]))


def _runs(pid):
    try:
        return _state(pid) != "Z"
    except FileNotFoundError:
        return False


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123
        return [int(one) for one in file.read().split()]


def _child_of(pid):
    await_that(lambda: len(_children(pid)) == 1, lambda: f"a child of {pid}")
    return _children(pid)[0]
