"""``socketctl run``: the program is replaced without a lost connection, or stays."""

from __future__ import annotations

import re
import signal
import sys
import time

from tests.socketctl_process import load
from tests.system.consumers import ANSWER
from tests.system.run_programs import running, served_by, serving, shell

RELOADS = 20


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


def test_another_stop_signal_is_used_for_the_old_one(daemon, tmp_path):
    script = "trap 'echo quit came; exit 0' QUIT; while :; do sleep 0.05; done"
    options = ("--ready-delay", "0.3", "--stop-signal", "quit")
    with running(daemon, tmp_path, options, shell(script)) as run:
        run.await_log("is ready")
        run.send(signal.SIGHUP)
        run.await_log("quit came")
