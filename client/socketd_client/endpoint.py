"""Where the daemon is: URLs of the API, read."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from socketd_client.unix_url import unix_path


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to believe over TLS, and how to show who we are; paths of PEM files.

    Attributes:
        ca: The authorities that may vouch for the daemon; ``None``: those of the system.
        cert: Our own certificate; ``None``: a token says who we are.
        key: Its key; ``None``: it is in ``cert``.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def check(self) -> None:
        """Look whether the files are there.

        Raises:
            ValueError: One is not, or cannot be read; or there is a key without a certificate.
        """
        if self.key is not None and self.cert is None:
            raise ValueError("key= (SOCKETD_KEY) is of no use without cert= (SOCKETD_CERT)")
        for name, path in (("ca", self.ca), ("cert", self.cert), ("key", self.key)):
            if path is not None and not os.access(path, os.R_OK):
                raise ValueError(f"{name}= (SOCKETD_{name.upper()}): {path!r} cannot be read")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One daemon's address.

    Attributes:
        url: As it was given; shown in messages.
        base: What request paths are appended to.
        socket_path: The Unix socket, ``None`` over TCP.
        is_loopback: No proxy stands between us and it.
        trust: For ``https``.
    """

    url: str
    base: str
    socket_path: str | None
    is_loopback: bool
    trust: Trust = Trust()

    @classmethod
    def parse(cls, url: str, trust: Trust | None = None) -> Endpoint:
        """Read ``unix:///run/socketd/api.sock``, ``http://host:port`` or ``https://host/prefix``.

        Raises:
            ValueError: It is neither, or carries a user name or a query that would be dropped silently; or a
                file of ``trust`` is not there.
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
        if parts.scheme == "https" and trust is not None:
            trust.check()
        return cls(url, base, None, _is_loopback(parts.hostname), trust or Trust())


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
