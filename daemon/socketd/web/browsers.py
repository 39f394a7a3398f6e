"""What keeps a page of another site from using a browser against the daemon: Host, Origin, Sec-Fetch-Site.

A browser adds what it knows of its user to a request that any page asks for: a client certificate, the
place behind a proxy that vouches for them. Nothing here says who the caller is.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from flask import request

from socketd.errors import SocketdError
from socketd.web.caller import house

if TYPE_CHECKING:
    from collections.abc import Collection
    from ipaddress import IPv4Address, IPv6Address
    from wsgiref.types import WSGIEnvironment

PAGES: Final = "reference"
"""The blueprint whose pages a link of another site may open: they change nothing and show no socket."""
_ALWAYS_OURS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_OWN_SITES: Final = frozenset({None, "none", "same-origin"})  # none: typed, or a bookmark
# RFC 9110, 7.2 and RFC 3986, 3.2.2; without the comma, by which two Hosts would be joined.
_HOST: Final = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._~!$&'()*+;=%-]{0,255})(?::[0-9]{0,5})?")


class MalformedHostError(SocketdError):
    """The request does not say, or says twice and differently, which host it is for."""

    code = "malformed_host"

    def __init__(self, message: str) -> None:
        super().__init__(
            message, symbol="EINVAL", hint="send one Host, as in 'Host: localhost' (RFC 9112, section 3.2)"
        )


class ForeignHostError(SocketdError):
    """The request is for a host that is not this daemon; a browser sends such after DNS rebinding."""

    code = "foreign_host"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"{host!r} is not a name of this daemon",
            symbol="EACCES",
            hint="ask for http://localhost/; the setting 'hosts' allows other names",
        )


class ForeignOriginError(SocketdError):
    """A browser makes the request for a page of another origin."""

    code = "foreign_origin"

    def __init__(self, header: str, value: str) -> None:
        super().__init__(
            f"{header}: {value} is not the origin of this daemon",
            symbol="EACCES",
            hint="the API is not for pages in a browser; a program leaves this header out",
        )


def refuse_foreign() -> None:
    """Refuse what a page of another site makes a browser send; to run before each request.

    Raises:
        MalformedHostError, ForeignHostError, ForeignOriginError: As they say.
    """
    environ = request.environ
    host = _host(environ)
    name = _name(host)
    if name not in _ALWAYS_OURS and not _is_ours(name, environ, house().settings.hosts):
        raise ForeignHostError(host)
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and origin.lower() != f"{_scheme(environ)}://{host}":
        raise ForeignOriginError("Origin", origin)
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site not in _OWN_SITES and not _is_visit(environ):
        raise ForeignOriginError("Sec-Fetch-Site", str(site))


def _host(environ: WSGIEnvironment) -> str:
    """Return the host and port that a request is for, in lower case; empty where HTTP/1.0 has none.

    Raises:
        MalformedHostError: HTTP/1.1 wants one, and the same in the target where that is a whole URL.
    """
    given = environ.get("HTTP_HOST")
    if given is None and environ.get("SERVER_PROTOCOL") != "HTTP/1.0":
        raise MalformedHostError("the request has no Host")
    host: str = (given or "").lower()
    target: str = environ.get("RAW_URI", "/")
    # gunicorn takes the path out of an absolute-form target, and leaves its authority to nobody.
    if not target.startswith("/") and target != "*" and urlsplit(target).netloc.lower() != host:
        raise MalformedHostError(f"the target {target!r} is not of the Host {host!r}")
    return host


def _name(host: str) -> str:
    """Take the port off, and the dot at the end; an IPv6 address comes out in its shortest form.

    Raises:
        MalformedHostError: It is no host, or more than one.
    """
    parts = _HOST.fullmatch(host)
    if parts is None:
        raise MalformedHostError(f"{host!r} is no Host")
    name: str = parts[1]
    if not name.startswith("["):
        return name.removesuffix(".")
    try:
        return f"[{ipaddress.IPv6Address(name[1:-1])}]"
    except ValueError:
        raise MalformedHostError(f"{host!r} is no Host") from None


def _is_ours(name: str, environ: WSGIEnvironment, hosts: Collection[str]) -> bool:
    if not name or name in hosts:
        return True
    connection = environ["gunicorn.socket"]
    if connection.family == socket.AF_UNIX:
        return _is_local(name)
    address = _literal(name)
    # A browser names the page's own host here: a number that is ours cannot have come from another's DNS.
    return address is not None and (address.is_loopback or address == _literal(connection.getsockname()[0]))


def _is_local(name: str) -> bool:
    """Whether no name server of others answers for it; clients of Unix sockets put what they like.

    ``docker``, ``d`` and ``api.moby.localhost`` are seen, and the socket's path in percent-encoding, which
    a browser takes for no host at all.
    """
    return "." not in name or name.endswith(".localhost") or name.startswith("%2f")


def _literal(name: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ipaddress.ip_address(name.strip("[]").partition("%")[0])
    except ValueError:
        return None
    # A listener of both families gives an IPv4 client's connection an IPv6 name.
    return getattr(address, "ipv4_mapped", None) or address


def _scheme(environ: WSGIEnvironment) -> str:
    # gunicorn is not told which of its sockets speak TLS, so wsgi.url_scheme is http for all.
    return "https" if hasattr(environ["gunicorn.socket"], "getpeercert") else "http"


def _is_visit(environ: WSGIEnvironment) -> bool:
    """Whether somebody follows a link to one of the pages; frames and scripts do not count."""
    return (
        request.blueprint == PAGES
        and environ["REQUEST_METHOD"] in ("GET", "HEAD")
        and environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        and environ.get("HTTP_SEC_FETCH_DEST") == "document"
    )
