"""A folder of specifications, what is saved in it, and how the next daemon reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from socketd.core.owner import Owner
from socketd.core.saving import Saved
from socketd.runtime.specifications import Specifications

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from socketd.core.saving import Unreadable

OLD = Saved("web", Owner(1000), {"bind": "127.0.0.1:3490", "listen": True})
NEWER = Saved(
    "web",
    Owner(1000),
    {"bind": "127.0.0.1:3491", "listen": {"backlog": 5}, "options": {"SO_REUSEPORT": True}},
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def store(root: Path) -> Iterator[Specifications]:
    made = Specifications(str(root))
    yield made
    made.close()


def found(root: Path) -> list[Saved | Unreadable]:
    """Read it as the next daemon does."""
    reader = Specifications(str(root))
    try:
        return list(reader.load())
    finally:
        reader.close()
