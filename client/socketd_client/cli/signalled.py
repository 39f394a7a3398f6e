"""Ends that a shell expects of a command whose reader has left, or that Ctrl-C interrupted."""

from __future__ import annotations

import os
import signal
import sys

from socketd_client.cli import exits


def left_alone() -> int:
    """End as a program that SIGPIPE killed, whose output Python must not try to flush again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return exits.SIGNALLED + signal.SIGPIPE


def interrupted() -> int:
    """End by the signal itself, so that a shell's loop around us ends too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    return exits.SIGNALLED + signal.SIGINT
