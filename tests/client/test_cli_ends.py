"""``socketctl`` ends quietly: on a closed pipe, and on an interrupt."""

from __future__ import annotations

import os
import signal
import subprocess

from tests.client.ctl import ctl
from tests.socketctl_process import SOCKETCTL, await_that, environment

__all__ = ["ctl"]  # fixtures


def test_output_that_nobody_reads_ends_it_quietly(daemon):
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    try:
        done = subprocess.run(
            [*SOCKETCTL, "fds"],
            env=environment(daemon.url),
            stdout=write_fd,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    finally:
        os.close(write_fd)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_interrupt_ends_it_quietly_by_the_signal(ctl, daemon):
    ctl("ensure", "int", "--listen", "127.0.0.1:0")
    process = subprocess.Popen(
        [*SOCKETCTL, "accept", "int"],
        env=environment(daemon.url),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        await_that(lambda: _sleeps_in_a_request(process.pid), lambda: "a request")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (-signal.SIGINT, b"")


def _sleeps_in_a_request(pid):
    with open(f"/proc/{pid}/wchan") as file:  # noqa: PTH123
        where = file.read()
    return "unix_stream" in where or "poll" in where or "sock" in where
