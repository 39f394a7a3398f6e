"""An answer that was given on the bare connection, so that the server writes none."""

from __future__ import annotations

from typing import Final


class _TakenOver(tuple[bytes, ...]):
    """A body of nothing, told from others by identity."""

    __slots__ = ()


TAKEN_OVER: Final = _TakenOver()
"""What the application returns when nothing more is to be said over a connection; the server ends it."""
