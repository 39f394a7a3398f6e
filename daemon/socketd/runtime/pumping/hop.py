"""From the pump's thread back into the loop's."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import gevent
from gevent.hub import get_hub

if TYPE_CHECKING:
    from collections.abc import Callable


class LoopHop:
    """Has things done by greenlets of the loop in whose thread it was made; may be called in any."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._watcher: Any = get_hub().loop.async_(ref=False)
        self._watcher.start(self._collect)

    def __call__(self, what: Callable[[], None]) -> None:
        """Have ``what`` done soon."""
        self._waiting.append(what)
        self._watcher.send()

    def close(self) -> None:
        """Give the watcher back; what waits is not done."""
        self._watcher.stop()
        self._watcher.close()

    def _collect(self) -> None:
        while self._waiting:
            gevent.spawn(self._waiting.popleft())
