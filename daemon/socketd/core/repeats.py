"""Which restored sockets a request made that had an ``Idempotency-Key``: what its repeat is answered with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socketd.core.entry import Entry


class Repeats:
    """Restored sockets by the key of the request that made them.

    The answer that was kept under the key went with the daemon that gave it, and its sockets did not.
    """

    def __init__(self) -> None:
        self._made: dict[str, dict[Entry, None]] = {}

    def of(self, key: str) -> list[Entry]:
        """List them in the order in which they were made."""
        return sorted(self._made.get(key, ()), key=lambda entry: (entry.created_at, entry.fd))

    def add(self, entry: Entry) -> None:
        """Note one; without a key it is nobody's repeat."""
        if entry.key is not None:
            self._made.setdefault(entry.key, {})[entry] = None

    def discard(self, entry: Entry) -> None:
        """Forget one, if it is noted."""
        if entry.key is None:
            return
        made = self._made.get(entry.key, {})
        made.pop(entry, None)
        if not made:
            self._made.pop(entry.key, None)
