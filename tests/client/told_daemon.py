"""A client whose daemon answers as it is told, and what the daemon was asked."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import Client
from tests.client.http_stand_in import Reply, Seen, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Daemon:
    """A client whose server gives one answer to everything, or asks a function."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.seen: list[Seen] = []

    @contextmanager
    def __call__(self, reply: Any | Callable[[Seen], Reply]) -> Iterator[Client]:
        def answer(seen: Seen) -> Reply:
            self.seen.append(seen)
            if callable(reply):
                return reply(seen)
            return reply if isinstance(reply, Reply) else Reply(reply)

        with serving(answer, self._folder / "s") as server, Client(server.url) as client:
            yield client


@pytest.fixture
def daemon_says(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path)
