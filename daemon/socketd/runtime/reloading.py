"""A change of configuration in a daemon that runs: what can change changes, all of it or nothing."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from socketd.runtime.settings import Settings

LIVE: Final = frozenset(
    {
        "audit",
        "log_level",
        "default_timeout_s",
        "max_timeout_s",
        "request_timeout_s",
        "max_recv_bytes",
        "max_count",
        "max_waits",
        "graceful_timeout_s",
        "hosts",
        "policy",
    }
)
"""Keys that need no restart; each is read anew where it is used, or has a ``Reloadable``."""


class Reloadable(Protocol):
    """A part of the daemon that depends on the configuration, or on files that it names."""

    def __call__(self, settings: Settings, /) -> Callable[[], None]:
        """Read and check all that it needs; return what puts it in force, which cannot fail.

        Raises:
            ConfigError: Something is wrong; the daemon goes on with what it has.
        """


@dataclass(frozen=True, slots=True)
class Changes:
    """What a reading of the configuration has brought.

    Attributes:
        settings: What is to be in force: new where that can be, else as it was.
        live: Keys whose change is in it.
        waiting: Keys whose change needs a restart.
    """

    settings: Settings
    live: tuple[str, ...]
    waiting: tuple[str, ...]


def compare(now: Settings, wanted: Settings) -> Changes:
    """Tell what can change from what cannot."""
    changed = [key.name for key in fields(now) if getattr(now, key.name) != getattr(wanted, key.name)]
    live = tuple(name for name in changed if name in LIVE)
    waiting = tuple(name for name in changed if name not in LIVE)
    return Changes(replace(now, **{name: getattr(wanted, name) for name in live}), live, waiting)


def put_in_force(settings: Settings, reloadables: Iterable[Reloadable]) -> None:
    """Have every part read its own, and when all have, change.

    Raises:
        ConfigError: One of them cannot; nothing has changed.
    """
    prepared = [reloadable(settings) for reloadable in reloadables]
    for apply in prepared:
        apply()


def log_level(settings: Settings) -> Callable[[], None]:
    """Reload how much is logged."""

    def apply() -> None:
        logging.getLogger().setLevel(settings.log_level.upper())

    return apply
