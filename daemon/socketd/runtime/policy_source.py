"""The policy in force: which file it is, read at start and again at each reload."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

from socketd.access import policy_file
from socketd.access.policy import Policy
from socketd.access.policy_file import PolicyError
from socketd.access.reserved import Reserved
from socketd.core import address
from socketd.kernel.local_address import is_local
from socketd.runtime import guarded_file
from socketd.runtime.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from socketd.access.policy import Document
    from socketd.core.address import Address
    from socketd.runtime.settings import Settings

DEFAULT_FILE: Final = "/etc/socketd/policy.toml"

log = logging.getLogger(__name__)


class PolicySource:
    """Holds the policy that decides; ``policy`` is another after a reload.

    Args:
        settings: Say which file.
        reserved: The daemon's own addresses.

    Raises:
        ConfigError: The file is no policy; there is no daemon without one.
    """

    def __init__(self, settings: Settings, reserved: Reserved | None = None) -> None:
        self._reserved = reserved
        self.policy = self._read(settings)
        self._told: tuple[str, ...] = ()
        self._tell(self.policy)

    def __call__(self, settings: Settings, /) -> Callable[[], None]:
        """Read it anew, and return what puts it in force (``reloading.Reloadable``).

        Raises:
            ConfigError: The file is no policy; the daemon goes on with the one it has.
        """
        policy = self._read(settings)

        def apply() -> None:
            self.policy = policy
            self._tell(policy)

        return apply

    def _read(self, settings: Settings) -> Policy:
        return Policy(document(settings.policy), daemon_uid=os.geteuid(), reserved=self._reserved)

    def _tell(self, policy: Policy) -> None:
        log.info("policy: %s, %s rules", policy.source, len(policy.document.rules))
        for warning in policy.document.warnings:
            if warning not in self._told:
                log.warning("policy: %s", warning)
        self._told = policy.document.warnings


def document(named: str | None, default: str = DEFAULT_FILE) -> Document:
    """Read the policy that is named, else the default file's, else that of the package.

    Raises:
        ConfigError: It cannot be read, others may write it, or it is no policy.
    """
    return understood(*read_text(named, default))


def read_text(named: str | None, default: str = DEFAULT_FILE) -> tuple[str, str]:
    """Read the text of the policy, and say where it is from.

    A default file that is there and cannot be read is an error: the package's grants other things.

    Raises:
        ConfigError: It cannot be read, or others may write it.
    """
    path = named or (default if _is_there(default) else None)
    if path is None:
        return policy_file.built_in_text(), "built-in policy"
    return guarded_file.read("policy", path, is_secret=False), path


def understood(text: str, source: str) -> Document:
    """Read the words of a policy.

    Raises:
        ConfigError: It is none.
    """
    try:
        return policy_file.parse(text, source)
    except PolicyError as error:
        raise ConfigError(f"policy {error}") from error


def own(settings: Settings) -> list[Address]:
    """List the daemon's own addresses as they are configured; systemd may have handed over others."""
    found = [address.unix_path(path) for path in (settings.listen, settings.keeper) if path]
    if settings.tcp is not None:
        endpoint = address.host_and_port(settings.tcp.host, settings.tcp.port)
        found += [endpoint] if isinstance(endpoint, address.Address) else []
    return found


def reserved(addresses: Iterable[Address]) -> Reserved:
    """Make of the daemon's own addresses what a policy keeps callers from."""
    return Reserved(addresses, lambda host: is_local(str(host)))


def _is_there(path: str) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(f"policy {path}: {error.strerror}") from error
    return True
