"""The supervisor of ``tests/supervisor_process.py`` for the tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.supervisor_process import SupervisorProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[..., SupervisorProcess]]:
    """Start supervisors with stand-ins; at the end they are gone, and their children too."""
    started: list[SupervisorProcess] = []

    def start(**options: object) -> SupervisorProcess:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        one = SupervisorProcess(folder, **options)
        started.append(one)
        return one

    try:
        yield start
    finally:
        for one in started:
            one.close()
