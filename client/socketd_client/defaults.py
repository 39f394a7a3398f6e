"""The client of a program that names none: the innermost ``installed`` one, else the environment's."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from socketd_client.client import Client


class _Defaults:
    """The clients of this process, the environment's made when it is first asked for."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may ask, too
        self._installed: list[Client] = []
        self._from_env: Client | None = None

    def push(self, client: Client) -> None:
        with self._lock:
            self._installed.append(client)

    def remove(self, client: Client) -> None:
        """Take the innermost entry of a client away; others may have come above it in other threads."""
        with self._lock:
            self._installed.reverse()
            self._installed.remove(client)
            self._installed.reverse()

    def get(self) -> Client:
        with self._lock:
            if self._installed:
                return self._installed[-1]
            if self._from_env is None:
                from socketd_client.client import Client  # noqa: PLC0415 - it imports the handle, which asks

                self._from_env = Client.from_env()
            return self._from_env


DEFAULTS: Final = _Defaults()


def default_client() -> Client:
    """Return the client of the innermost ``installed``, else the process' own ``Client.from_env()``."""
    return DEFAULTS.get()
