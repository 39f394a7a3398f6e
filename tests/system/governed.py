"""Another policy in a machine where socketd is installed, as an administrator puts one in force."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.system.place import await_true

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.systemd_container import Container

POLICY = "/etc/socketd/policy.toml"
DAEMON = "socketd.service"


@contextmanager
def policy(container: Container, more: str) -> Iterator[None]:
    """Have the shipped policy with something added be in force for the body; no process is started anew."""
    file = container.path(POLICY)
    shipped = file.read_text()
    file.write_text(shipped + more)
    try:
        reload(container)
        yield
    finally:
        file.write_text(shipped)
        reload(container)


def reload(container: Container) -> None:
    """Have the daemon read its files, and wait until it has, with or without success."""
    before = _readings(container)
    container.exec(["systemctl", "reload", DAEMON])
    await_true(lambda: _readings(container) > before, lambda: container.journal(DAEMON))


def _readings(container: Container) -> int:
    return container.journal(DAEMON).count("reloaded")
