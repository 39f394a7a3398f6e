"""Bearer tokens: known by their hashes, each with a name, made here and looked for here."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from socketd.core.owner import Owner, is_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX: Final = "sd_"
"""What a token of ours begins with, so that those who look for leaked secrets know one."""
RANDOM_BYTES: Final = 32
LEAST_LENGTH: Final = 20
"""Of a token that was not made here: a shorter one could be found by trying all of that length."""
_MEMBERS: Final = ("name", "sha256", "expires")
_SHOWN: Final = 200
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")
_BARE: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1: what fits into the header


class TokenFileError(Exception):
    """A token file cannot be used; the message is one line, without the file's name."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token.

    Attributes:
        owner: Who sends it.
        digest: SHA-256 of it.
        expires: When it ends, in Unix seconds; ``None``: not by itself.
    """

    owner: Owner
    digest: bytes
    expires: float | None = None


class Tokens:
    """Those that are in force; a reload puts others into ``known``."""

    def __init__(self, known: Iterable[Token] = ()) -> None:
        self.known = tuple(known)

    def find(self, given: str) -> Token | None:
        """Look a token up, in a time that tells nothing of how near it came."""
        digest = digest_of(given)
        found = None
        for token in self.known:
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found


def digest_of(token: str) -> bytes:
    """Hash a token. It has 256 random bits, so neither salt nor slowness would add anything."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def new() -> str:
    """Make a token that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def lines(name: str, token: str, expires: datetime | None = None) -> str:
    """Write the entry of a token, for the file.

    Raises:
        ValueError: ``name`` is no name.
    """
    if not is_name(name):
        raise ValueError(f"{name!r} is no name of a token: 1 to 255 printable bytes")
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    text = f'[[token]]\nname = "{quoted}"\nsha256 = "{digest_of(token).hex()}"\n'
    return text if expires is None else f"{text}expires = {expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}\n"


def is_bare(text: str) -> bool:
    """Whether a text is a token itself, as the file held one before it held hashes."""
    return _BARE.fullmatch(text.strip()) is not None


def parse(text: str) -> tuple[Token, ...]:
    """Read what a token file holds; several entries of one name are one caller.

    Raises:
        TokenFileError: It is not what it should be.
    """
    try:
        document = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and what int() has against thousands of digits
        raise TokenFileError(f"not TOML: {_shown(' '.join(str(error).split()))}") from error
    except RecursionError:  # of its parser, by a few thousand brackets
        raise TokenFileError("not TOML: nested too deep") from None
    entries = document.pop("token", [])
    if document:
        name = next(iter(document))
        raise TokenFileError(f"unknown key {_shown(name)!r}; what there can be is [[token]]")
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise TokenFileError("token is not a list of tables: write [[token]], with two brackets")
    if not entries:
        raise TokenFileError("it has no [[token]]; 'socketd token NAME' makes one")
    tokens = tuple(_token(f"token {nth}", entry) for nth, entry in enumerate(entries, start=1))
    _check_apart(tokens)
    return tokens


def _token(where: str, entry: Mapping[str, Any]) -> Token:
    for key in entry:
        if key not in _MEMBERS:
            close = get_close_matches(key, _MEMBERS, n=1)
            raise TokenFileError(
                f"{where}: unknown key {_shown(key)!r}" + (f"; did you mean {close[0]}?" if close else "")
            )
    name, digest = entry.get("name"), entry.get("sha256")
    if not isinstance(name, str) or not is_name(name):
        raise TokenFileError(f"{where}: its name is not 1 to 255 printable bytes")
    where = f"{where} ({name})"
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise TokenFileError(f"{where}: its sha256 is not 64 hexadecimal digits")
    return Token(Owner(token=name), bytes.fromhex(digest), _expiry(where, entry.get("expires")))


def _expiry(where: str, value: object) -> float | None:
    """Read a time; a day is its beginning, in UTC.

    Raises:
        TokenFileError: It is something else, or a time of no zone.
    """
    if value is None:
        return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TokenFileError(f"{where}: its expires is neither a day (2030-01-31) nor a time with its zone")
    return value.timestamp()


def _shown(text: str) -> str:
    """Cut what the file holds to what a message has room for."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _check_apart(tokens: tuple[Token, ...]) -> None:
    """Refuse a hash that stands there twice: it would not be told who sends that token."""
    first: dict[bytes, int] = {}
    for nth, token in enumerate(tokens, start=1):
        before = first.setdefault(token.digest, nth)
        if before != nth:
            raise TokenFileError(f"token {nth} ({token.owner.token}): its sha256 is that of token {before}")
