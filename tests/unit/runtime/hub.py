"""The loop of a test module, with its descriptors open before the leak gate looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from gevent.hub import get_hub

from socketd.runtime.waiting import give_way

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", autouse=True)
def _hub() -> Iterator[None]:
    """Open the loop's own descriptors before the leak gate looks."""
    hub = get_hub()
    give_way()
    yield
    hub.destroy(destroy_loop=True)
