"""Held sockets and threads that wait on them, for the tests of core, inspection and service."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.held import Held

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def held() -> Iterator[Held]:
    """Keep a table for the test, and close what is in it."""
    made = Held()
    yield made
    made.service.close()


@pytest.fixture
def threads(held: Held) -> Iterator[ThreadPoolExecutor]:
    """Wait elsewhere; at the end no wait is left, whatever the test did."""
    with ThreadPoolExecutor(8) as pool:
        yield pool
        held.waiter.shut()
