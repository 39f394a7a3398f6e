"""What comes of a call that may fail, as a value: for calls that are to end as the originals do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Outcome = Any


def outcome(call: Callable[..., Any], *arguments: Any) -> Outcome:
    """Return what comes of a call, as a value that can be compared."""
    try:
        return call(*arguments)
    except (OSError, TypeError, ValueError, KeyError, OverflowError) as error:
        return type(error), str(error)


def closed_number() -> int:
    number = os.dup(0)
    os.close(number)
    return number
