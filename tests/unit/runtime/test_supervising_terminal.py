"""SIGHUP at a terminal: its hangup, which nohup(1) keeps from us, or a kill(1)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.daemon_process import child_environment

# Becomes the leader of a session whose terminal is descriptor 0, and says what SIGHUP finds.
PROGRAM = """
import fcntl, os, signal, sys, termios
if sys.argv[1] == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from socketd.runtime.supervising.terminal import Terminal
terminal = Terminal()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
signal.signal(signal.SIGHUP, signal.SIG_DFL)
print(terminal.is_lost, flush=True)
signal.sigwait([signal.SIGHUP])
print(terminal.is_lost, flush=True)
"""


@pytest.mark.parametrize(
    ("how", "event", "said"),
    [("plain", "hangup", True), ("nohup", "hangup", False), ("plain", "kill", False)],
)
def test_terminal_is_lost_by_a_hangup_alone(how, event, said):
    keyboard, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, how],
        env=child_environment({}),
        stdin=terminal,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        os.close(terminal)
        assert process.stdout.readline() == "False\n"
        if event == "hangup":
            os.close(keyboard)
        else:
            process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == f"{said}\n"
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        if event != "hangup":
            os.close(keyboard)


def test_without_a_terminal_nothing_can_be_lost():
    program = "from socketd.runtime.supervising.terminal import Terminal; print(Terminal().is_lost)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=child_environment({}),
        start_new_session=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
