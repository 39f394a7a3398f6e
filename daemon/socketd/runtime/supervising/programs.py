"""The two programs of `socketd run`: `socketd keep` and `socketd serve`, as commands and environments."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from socketd.runtime.supervising.processes import Program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from socketd.runtime.settings import Settings

NOT_FOR_CHILDREN = frozenset({"FDSTORE", "SOCKETD_KEEPER", "SOCKETD_SUPERVISOR"})


def programs(
    settings: Settings, arguments: Sequence[str], token: str | None, capacity: int
) -> tuple[Program, Program]:
    """Return how keeper and daemon are started.

    Args:
        settings: What is in force.
        arguments: The flags of `socketd serve` for the same settings.
        token: What TCP callers have to send. If it was made up, the next daemon is to have the same.
        capacity: How many descriptors the keeper may store with us.
    """
    path = settings.keeper or os.fspath(Path(settings.listen).with_name("keeper.sock"))
    is_made_up = settings.token is None
    keeper = _keeper(path, settings.log_level, capacity)
    return keeper, _daemon(arguments, path, token if is_made_up else None)


def _keeper(path: str, log_level: str, capacity: int) -> Program:
    # No file: what somebody is writing there by then must not keep the keeper from starting again.
    options = ("--config", os.devnull, "--keeper", path, "--log-level", log_level)
    environ = {**_environment(), "FDSTORE": str(capacity), "SOCKETD_SUPERVISOR": "run"}
    return Program("keeper", (*_command("keep"), *options), environ, signal.SIGTERM)


def _daemon(arguments: Sequence[str], path: str, token: str | None) -> Program:
    environ = {**_environment(), "SOCKETD_KEEPER": path}
    if token is not None:
        environ["SOCKETD_TOKEN"] = token
    return Program("daemon", (*_command("serve"), "--no-banner", *arguments), environ, signal.SIGQUIT)


def _command(name: str) -> tuple[str, ...]:
    # -P: python -m would look for socketd, and all that it imports, in the working directory first.
    return (sys.executable, "-P", "-m", "socketd", name)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in NOT_FOR_CHILDREN}
