"""Values of socket options as they are typed at a shell."""

from __future__ import annotations

import json
from typing import Any, Final

_WORDS: Final = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}


def parsed(text: str) -> Any:
    """Read ``on``, ``65536``, ``0x10``, ``1.5``, ``{"onoff": true}``; anything else is text."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return json.loads(text)
    except ValueError:
        return text


def option_value(text: str) -> tuple[str, Any]:
    """Split ``NAME=VALUE``.

    Raises:
        ValueError: It has no ``=``.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"{text!r} is not NAME=VALUE, as in SO_RCVBUF=65536")
    return name, parsed(value)
