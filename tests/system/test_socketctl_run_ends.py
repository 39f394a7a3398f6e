"""``socketctl run``: crashes and restarts, signals that are passed on, and the status at the end."""

from __future__ import annotations

import os
import re
import signal

import pytest

from tests.system.run_programs import running, served_by, serving, shell


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
