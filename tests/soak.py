"""Whether this is `make soak`: the same tests with larger numbers."""

from __future__ import annotations

import os

IS_SOAK = bool(os.environ.get("SOCKETD_SOAK"))
