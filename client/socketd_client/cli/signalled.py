"""Ends by signals: what a shell expects, and what a command has to tidy up before."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from socketd_client.cli import exits

if TYPE_CHECKING:
    from collections.abc import Iterator


def left_alone() -> int:
    """End as a program that SIGPIPE killed, whose output Python must not try to flush again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return exits.SIGNALLED + signal.SIGPIPE


def interrupted() -> int:
    """End by the signal itself, so that a shell's loop around us ends too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    return exits.SIGNALLED + signal.SIGINT


@contextmanager
def tidied() -> Iterator[None]:
    """Have SIGTERM and SIGHUP leave the block as exceptions do: ssh ends its ProxyCommand by SIGHUP."""

    def leave(number: int, _frame: object) -> None:
        sys.exit(exits.SIGNALLED + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
