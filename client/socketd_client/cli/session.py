"""What one command talks to: the daemon, through the SDK or, for descriptors, over the bare Unix socket."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

    from socketd_client import Client, Socket
    from socketd_client.cli.direct import Direct


class Session:
    """The daemon that the command line and the environment name; opened when it is first used.

    Attributes:
        subject: The socket that the command is about, as it was typed; for messages.
    """

    def __init__(self) -> None:
        self.subject: str | None = None
        self._url: str | None = None
        self._token: str | None = None
        self._files: tuple[str | None, str | None, str | None] = (None, None, None)
        self._client: Client | None = None

    def choose(self, url: str | None, token: str | None) -> None:
        """Say which daemon: ``None`` for this user's, else the system's; the token is for TCP."""
        self._url, self._token = url, token

    def trust(self, ca: str | None, cert: str | None, key: str | None) -> None:
        """Say which files are for ``https``, as ``endpoint.Trust`` has them."""
        self._files = (ca, cert, key)

    @property
    def url(self) -> str:
        """Where the daemon is."""
        if self._url is None:
            from socketd_client.unix_url import default_url  # noqa: PLC0415

            self._url = default_url(os.environ)
        return self._url

    @property
    def client(self) -> Client:
        """The SDK's client."""
        if self._client is None:
            from socketd_client import Client, Trust  # noqa: PLC0415 - requests: 150 ms

            self._client = Client(self.url, token=self._token, trust=Trust(*self._files))
        return self._client

    def socket(self, ref: str, *, timeout_s: float | None = None) -> Socket:
        """Find a held socket by descriptor number or name."""
        self.subject = ref
        found = self.client.sockets.get(ref)
        found.settimeout(timeout_s)
        return found

    def json(self, path: str, query: dict[str, Any] | None = None) -> Any:
        """Ask for a document as the API writes it, members that this version does not know included."""
        from socketd_client.calls import Call  # noqa: PLC0415
        from socketd_client.endpoint import Endpoint, Trust  # noqa: PLC0415
        from socketd_client.exchange import Exchange  # noqa: PLC0415

        endpoint = Endpoint.parse(self.url, Trust(*self._files))
        exchange = Exchange(endpoint, token=self._token, timeout_s=10.0)
        try:
            return exchange.json(Call("GET", path, query))
        finally:
            exchange.close()

    def direct(self, timeout_s: float = 10.0) -> Direct:
        """Connect to the Unix socket without the SDK; the caller closes it.

        Raises:
            CommandError: The daemon is reached over TCP, which carries no descriptors.
        """
        from socketd_client.cli.direct import Direct, socket_path  # noqa: PLC0415

        return Direct(socket_path(self.url), timeout_s)

    def __enter__(self) -> Self:
        """Return the session."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close what was opened; the daemon's sockets stay."""
        if self._client is not None:
            self._client.close()
