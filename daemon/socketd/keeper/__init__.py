"""The keeper: a small process that holds a second copy of every held descriptor, so the daemon may die."""

from __future__ import annotations

from socketd.keeper.process import keep

__all__ = ["keep"]
