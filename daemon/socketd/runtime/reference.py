"""The configuration as text: what is in force, and what could be."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from socketd.runtime.settings import KEYS

if TYPE_CHECKING:
    from socketd.runtime.config import Configuration
    from socketd.runtime.settings import Key

WIDTH = 100


def in_force(configuration: Configuration) -> str:
    """Return every key as TOML with its origin in a comment; secrets are not shown."""
    rows = [
        (_assignment(key, getattr(configuration.settings, key.name)), configuration.origins[key.name])
        for key in KEYS
    ]
    width = max(len(assignment) for assignment, _ in rows)
    return "".join(f"{assignment:<{width}}  # {origin}\n" for assignment, origin in rows)


def commented_file() -> str:
    """Return a TOML file with every key at its default, and explained."""
    return "\n".join(_entry(key) for key in KEYS)


def _entry(key: Key) -> str:
    text = f"{key.help} {key.kind.says[0].upper()}{key.kind.says[1:]}. {key.variable}, {key.flag}."
    explained = textwrap.fill(
        text,
        WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_on_hyphens=False,
        break_long_words=False,
    )
    return f"{explained}\n{_assignment(key, key.default)}\n"


def _assignment(key: Key, value: Any) -> str:
    if value is None:
        return f"# {key.name} ="
    if key.is_secret:
        return f"# {key.name} is set"
    text = key.kind.write(value)
    return f"{key.name} = {json.dumps(text, ensure_ascii=False) if key.kind.is_quoted else text}"
