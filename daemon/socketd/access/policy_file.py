"""A policy as TOML: the whole file read and checked, or one line that says what is wrong with it."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from socketd.access import rule_words
from socketd.access.directory import HostDirectory
from socketd.access.policy import Document
from socketd.access.policy_words import PolicyError, Table, shown
from socketd.core.owner import is_name

if TYPE_CHECKING:
    from socketd.access.directory import Directory
    from socketd.access.rules import Rule

__all__ = ["BUILT_IN", "VERSION", "PolicyError", "built_in_text", "parse"]

VERSION: Final = 1
BUILT_IN: Final = "default.toml"
"""The policy that is in force where there is none: a file of this package."""
_KEYS: Final = ("version", "total", "rule")
_HEADER: Final = re.compile(r"[ \t]*\[\[[ \t]*rule[ \t]*\]\]")


def built_in_text() -> str:
    """Read the policy that socketd comes with."""
    return resources.files(__package__).joinpath(BUILT_IN).read_text(encoding="utf-8")


def parse(text: str, source: str, directory: Directory | None = None) -> Document:
    """Read a policy.

    Args:
        text: The file's content.
        source: Its path, for messages.
        directory: Knows users and groups; the host's own when left out.

    Raises:
        PolicyError: It is no policy.
    """
    document = Table(source, _toml(text, source))
    document.check(_KEYS)
    _check_version(document)
    total = rule_words.quota(document.table("total"))
    tables = document.values.get("rule", [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise document.error("rule is not a list of tables; write [[rule]], with two brackets")
    warnings: list[str] = []
    rules: dict[str, Rule] = {}
    for table, line in zip(tables, _lines(text, len(tables)), strict=True):
        name = _name(Table(source if line is None else f"{source}:{line}", table))
        where = Table(f"{source if line is None else f'{source}:{line}'}: rule {name!r}", table)
        if name in rules:
            raise where.error("there is another rule of this name")
        rules[name] = rule_words.read(where, name, line, directory or HostDirectory(), warnings.append)
    return Document(tuple(rules.values()), total, source, tuple(warnings))


def _toml(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and what int() has against thousands of digits
        raise PolicyError(f"{source}: not TOML: {' '.join(str(error).split())}") from None
    except RecursionError:  # of its parser, by a few thousand brackets
        raise PolicyError(f"{source}: not TOML: nested too deep") from None


def _check_version(document: Table) -> None:
    version = document.values.get("version")
    if version is None:
        raise document.error(f"it says no version; begin it with version = {VERSION}")
    if type(version) is not int or version != VERSION:
        raise document.error(f"version is {shown(version)}; this daemon reads version {VERSION}")


def _name(table: Table) -> str:
    name = table.values.get("name")
    if name is None:
        raise table.error('a rule has no name; give it one, as name = "web"')
    if not isinstance(name, str) or not is_name(name):
        raise table.error(f"the name of a rule is {shown(name)}; it takes 1 to 255 printable bytes")
    return name


def _lines(text: str, count: int) -> list[int | None]:
    """Find where the rules begin: tomllib does not tell, so by their headers, unless those do not add up."""
    found = [number for number, line in enumerate(text.split("\n"), start=1) if _HEADER.match(line)]
    return [*found] if len(found) == count else [None] * count
