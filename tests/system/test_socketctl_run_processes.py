"""The processes of ``socketctl run``: none is left, as process 1 neither, and it sleeps meanwhile."""

from __future__ import annotations

import os
import re
import select
import signal

import pytest

from tests.socketctl_process import await_that, socketctl
from tests.system.run_programs import running, serving, shell

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a pid namespace of its own needs root")


def test_a_program_that_does_not_end_is_killed_with_its_children(daemon, tmp_path):
    script = "trap '' TERM; sleep 600 & echo child $! up; wait; wait"
    with running(daemon, tmp_path, ("--stop-timeout", "0.3"), shell(script)) as run:
        run.await_log(" up")
        child = int(re.search(r"child (\d+) up", run.log)[1])
        assert run.end() == 128 + signal.SIGKILL
        await_that(lambda: not _runs(child), lambda: f"the end of {child}")


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
