"""How a command's help is laid out: running text is wrapped, indented blocks stay as they are written."""

from __future__ import annotations

import inspect
from typing import Any

import click

_VERBATIM = "\b\n"  # click's mark for a paragraph that is not to be wrapped


class Command(click.Command):
    """A command whose docstring may have examples, indented, among its paragraphs."""

    def __init__(self, name: str | None, *, help: str | None = None, **options: Any) -> None:  # noqa: A002
        super().__init__(name, help=laid_out(help or ""), **options)


class Group(click.Group):
    """A command of commands, of the same shape."""

    command_class = Command

    def __init__(self, name: str | None, *, help: str | None = None, **options: Any) -> None:  # noqa: A002
        super().__init__(name, help=laid_out(help or ""), **options)


def laid_out(text: str) -> str:
    """Mark each paragraph that has an indented line."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(_VERBATIM + part if "\n  " in part else part for part in paragraphs)
