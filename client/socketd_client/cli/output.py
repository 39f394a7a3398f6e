"""Text for people and for programs: tables, pairs, JSON; coloured only for a terminal that wants it."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console
    from rich.table import Table

STATE_COLOURS: Final = {
    "listening": "green",
    "connected": "cyan",
    "connecting": "yellow",
    "bound": "blue",
    "peer-closed": "yellow",
    "error": "red",
    "closed": "red",
}


def print_json(value: Any) -> None:
    """Print a document, readable."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def is_plain() -> bool:
    """Tell whether output is for a program, or for a person who wants no colours (https://no-color.org)."""
    return not sys.stdout.isatty() or bool(os.environ.get("NO_COLOR"))


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values below each other; ``None`` is left out."""
    rows = [(name, value) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        click.echo(f"{name:<{width}}  {value}")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; on a terminal in colours."""
    if is_plain():
        click.echo(plain_table(columns, rows))
    else:
        console().print(rich_table(columns, rows))


def owner_text(of: Mapping[str, Any]) -> str:
    """Name an owner: the user, its number where it has no name, or the token or certificate."""
    for kind in ("token", "certificate"):
        if of.get(kind) is not None:
            return f"{kind}:{of[kind]}"
    return str(of.get("user") or of.get("uid", ""))


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table for awk and column: blanks between, no lines around, ``-`` where there is nothing."""
    shown = [tuple(columns), *(tuple(cell or "-" for cell in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in shown)
    return "\n".join(line.rstrip() for line in lines)


def rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Make a table for a terminal."""
    from rich.table import Table  # noqa: PLC0415 - 50 ms, and only here
    from rich.text import Text  # noqa: PLC0415

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell or "-", style=STATE_COLOURS.get(cell, "")) for cell in row))
    return table


def console() -> Console:
    """Make the terminal's console."""
    from rich.console import Console  # noqa: PLC0415 - likewise

    return Console(highlight=False)
