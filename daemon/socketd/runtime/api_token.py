"""The tokens that TCP callers may send: from the configuration, from the token file, or made up."""

from __future__ import annotations

import logging
import os
import shlex
from typing import TYPE_CHECKING

from socketd.access import tokens
from socketd.access.tokens import Token
from socketd.core.owner import Owner
from socketd.runtime import guarded_file
from socketd.runtime.config import ConfigError

if TYPE_CHECKING:
    from socketd.runtime.settings import Settings

log = logging.getLogger(__name__)


def api_token(settings: Settings, *, has_banner: bool) -> str | None:
    """Return the one token that makes its sender the daemon's own user; make one up if nobody could come in.

    ``None`` where callers have tokens of their own, or certificates.

    Args:
        settings: What is in force.
        has_banner: Whether a banner will tell a token that is made up; if not, the log does.
    """
    if settings.token is not None:
        return settings.token
    if settings.token_file is not None or settings.tls_client_ca is not None:
        return None
    token = tokens.new()
    if not has_banner:
        log.warning("no token is configured; until this daemon stops it is SOCKETD_TOKEN=%s", token)
    return token


def known(settings: Settings, token: str | None) -> tuple[Token, ...]:
    """Return what is known of every token that is in force.

    Args:
        settings: They name the token file.
        token: What ``api_token`` returned.

    Raises:
        ConfigError: The token file cannot be read, or holds something else.
    """
    own = () if token is None else (Token(Owner(os.getuid()), tokens.digest_of(token)),)
    return own if settings.token_file is None else (*own, *_read(settings.token_file))


def _read(path: str) -> tuple[Token, ...]:
    text = guarded_file.read("token_file", path, is_secret=True)
    if tokens.is_bare(text):
        quoted = shlex.quote(path)
        raise ConfigError(
            f"token_file {path}: it holds a token, and should hold its hash: "
            f"'socketd token NAME --stdin < {quoted} > {shlex.quote(path + '.toml')}' writes that"
        )
    try:
        return tokens.parse(text)
    except tokens.TokenFileError as error:
        raise ConfigError(f"token_file {path}: {error}") from error
