"""A daemon that owns sockets for other programs and offers the whole BSD socket life over REST."""

from __future__ import annotations

__version__ = "0.1.0"
