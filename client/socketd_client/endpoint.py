"""Where the daemon is: URLs of the API, read."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from socketd_client.unix_url import unix_path


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One daemon's address.

    Attributes:
        url: As it was given; shown in messages.
        base: What request paths are appended to.
        socket_path: The Unix socket, ``None`` over TCP.
        is_loopback: No proxy stands between us and it.
    """

    url: str
    base: str
    socket_path: str | None
    is_loopback: bool

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Read ``unix:///run/socketd/api.sock``, ``http://host:port`` or ``https://host/prefix``.

        Raises:
            ValueError: It is neither, or carries a user name or a query that would be dropped silently.
        """
        path = unix_path(url)
        if path is not None:
            # requests wants a host; the daemon takes "localhost" for one of its own names.
            return cls(url, "http://localhost", path, is_loopback=True)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no URL of socketd: unix:///path, http://host:port or https://host")
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError(f"{url!r}: a token goes into SOCKETD_TOKEN or token=, not into the URL")
        base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        return cls(url, base, None, _is_loopback(parts.hostname))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
