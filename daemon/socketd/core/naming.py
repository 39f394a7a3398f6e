"""What a socket may be called."""

from __future__ import annotations

import re
from typing import Final

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9._@-]{0,254}")
"""Starts with a letter, so that it is no number; a file may be called so: no slash, and no dot in front."""
