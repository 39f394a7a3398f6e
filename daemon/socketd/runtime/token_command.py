"""``socketd token NAME``: make a token, and write what the token file is to hold of it."""

from __future__ import annotations

import os
import re
import stat
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from socketd.access import tokens
from socketd.runtime.config import ConfigError

if TYPE_CHECKING:
    import argparse

FILE_MODE: Final = 0o600
_SPAN: Final = re.compile(r"([0-9]{1,6})([dhm])")
_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes"}
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

EXAMPLES: Final = """\
examples:
  socketd token ci                                     show a new token, and the lines for the file
  socketd token ci --append /etc/socketd/tokens.toml   write them there, and the token to the output
  socketd token ci --expires 90d                       one that ends by itself
  socketd token ci --stdin < token > tokens.toml       the lines for a token that there is already

Two entries of one name are the same caller: add the new one, hand the new token out, then remove
the old entry. `systemctl reload socketd` puts a change of the file in force.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.epilog = EXAMPLES
    parser.add_argument("name", metavar="NAME", help="who the token's owner is to be")
    parser.add_argument("--expires", metavar="WHEN", help="a day (2030-01-31, UTC), a time, or 90d, 12h, 30m")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--append", metavar="FILE", help="the token file; made if it is not there")
    source.add_argument("--stdin", action="store_true", help="read a token instead of making one")


def run(arguments: argparse.Namespace) -> int:
    """Make or read a token; the hash goes to stdout or into the file, the token is shown this once.

    Raises:
        ConfigError: Something given is not what it should be, or the file cannot be written.
    """
    token = _read() if arguments.stdin else tokens.new()
    try:
        entry = tokens.lines(arguments.name, token, _expiry(arguments.expires))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if arguments.append is not None:
        _append(arguments.append, entry)
        sys.stdout.write(f"{token}\n")
        return 0
    if not arguments.stdin:
        # Not to stdout: `>> tokens.toml` is to write the hash there and nothing else.
        sys.stderr.write(f"The token, which is not shown again:\n\n  {token}\n\nFor the token file:\n\n")
    sys.stdout.write(entry)
    return 0


def _read() -> str:
    token = sys.stdin.read().strip()
    if not tokens.is_bare(token):
        raise ConfigError("--stdin: what came is no token: letters, digits and any of . _ ~ + / -")
    if len(token) < tokens.LEAST_LENGTH:
        raise ConfigError(
            f"--stdin: a token of {len(token)} characters could be guessed from its hash; let one be made"
        )
    return token


def _expiry(text: str | None) -> datetime | None:
    """Read ``--expires``.

    Raises:
        ValueError: It is none of what it may be, or lies in the past.
    """
    if text is None:
        return None
    now = datetime.now(UTC)
    span = _SPAN.fullmatch(text)
    try:
        if span is not None:
            when = now + timedelta(**{_UNITS[span[2]]: int(span[1])})
        else:
            when = datetime.fromisoformat(f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text)
    except (ValueError, OverflowError):
        when = None
    if when is None or when.tzinfo is None:
        raise ValueError(f"--expires: {text!r} is no day (2030-01-31), time with its zone, or 90d, 12h, 30m")
    if when <= now:
        raise ValueError(f"--expires: {text} is over")
    return when


def _append(path: str, entry: str) -> None:
    """Add an entry to a token file, whole or not at all."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        with os.fdopen(os.open(path, flags, FILE_MODE), "r+b") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"--append {path}: no ordinary file")
            before = file.read()
            _check(path, before.decode("utf-8", "replace"))
            gap = b"" if not before else b"\n" if before.endswith(b"\n") else b"\n\n"
            file.write(gap + entry.encode())
    except OSError as error:
        raise ConfigError(f"--append {path}: {error.strerror}") from error


def _check(path: str, text: str) -> None:
    """Refuse to add to what is no token file, or is a broken one."""
    try:
        if text.strip():
            tokens.parse(text)
    except tokens.TokenFileError as error:
        raise ConfigError(f"--append {path}: {error}") from error
