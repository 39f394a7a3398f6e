"""How callers over TCP show who they are: tokens and TLS, read before the fork and again at a reload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socketd.access.tokens import Tokens
from socketd.runtime import api_token, tls

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.runtime.settings import Settings


class Door:
    """What is in force; the master has one too, so that the next worker begins with what was reloaded.

    Args:
        settings: They name the files.
        token: What ``api_token`` returned.

    Attributes:
        tokens: Those that may be sent.
        tls: ``None``: TCP without encryption.

    Raises:
        ConfigError: A file cannot be used.
    """

    def __init__(self, settings: Settings, token: str | None) -> None:
        self._token = token
        self.tokens = Tokens(api_token.known(settings, token))
        material = tls.read(settings)
        self.tls = None if material is None else tls.Tls(settings, material)

    def reload(self, settings: Settings) -> Callable[[], None]:
        """Read the files again; return what puts them in force.

        Raises:
            ConfigError: Something is wrong with them.
        """
        known = api_token.known(settings, self._token)
        renew_tls = None if self.tls is None else self.tls.reload(settings)

        def apply() -> None:
            self.tokens.known = known
            if renew_tls is not None:
                renew_tls()

        return apply
