"""A pipe that a test makes ready, and what a selector finds ready."""

from __future__ import annotations

import os
import selectors
from typing import TYPE_CHECKING

import pytest

from tests.client.http_stand_in import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd_client.selector import Selector

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def ready(selector: Selector, timeout: float | None = WAIT_S) -> dict[object, int]:
    return {key.data: events for key, events in selector.select(timeout)}
