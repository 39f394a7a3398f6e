"""One request per operation that can be made as it stands; the page's curl lines are written from them."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

BASE: Final = "http://localhost"
_OCTETS: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Example:
    """A request.

    Attributes:
        target: Path and query, nothing left to fill in.
        body: Goes as JSON.
        raw: Goes as it is.
        headers: Besides those that the body brings.
    """

    target: str
    body: Mapping[str, Any] | None = None
    raw: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


_LISTENER: Final = {"bind": "127.0.0.1:0", "listen": True}
EXAMPLES: Final[Mapping[tuple[str, str], Example]] = {
    ("GET", "/v1/"): Example("/v1/"),
    ("GET", "/healthz"): Example("/healthz"),
    ("POST", "/v1/sockets"): Example(
        "/v1/sockets",
        {"name": "web", "options": {"SO_REUSEADDR": True}, "bind": "127.0.0.1:3490", "listen": True},
    ),
    ("GET", "/v1/sockets"): Example("/v1/sockets?state=listening&fields=fd,name,local"),
    ("GET", "/v1/sockets/{ref}"): Example("/v1/sockets/web"),
    ("DELETE", "/v1/sockets/{ref}"): Example("/v1/sockets/web"),
    ("POST", "/v1/sockets/{ref}/accept"): Example("/v1/sockets/web/accept", {"timeout": 30}),
    ("POST", "/v1/socketpairs"): Example(
        "/v1/socketpairs", {"family": "unix", "type": "stream", "names": ["left", "right"]}
    ),
    ("GET", "/v1/names"): Example("/v1/names"),
    ("GET", "/v1/names/{name}"): Example("/v1/names/web"),
    ("PUT", "/v1/names/{name}"): Example("/v1/names/web", {**_LISTENER, "persist": "boot"}),
    ("DELETE", "/v1/names/{name}"): Example("/v1/names/web"),
    ("POST", "/v1/sockets/{ref}/bind"): Example(
        "/v1/sockets/web/bind", {"address": {"service": "3490", "flags": ["AI_PASSIVE"]}}
    ),
    ("POST", "/v1/sockets/{ref}/listen"): Example("/v1/sockets/web/listen", {"backlog": 128}),
    ("POST", "/v1/sockets/{ref}/connect"): Example(
        "/v1/sockets/web/connect", {"address": "127.0.0.1:3490", "timeout": 10}
    ),
    ("POST", "/v1/sockets/{ref}/shutdown"): Example("/v1/sockets/web/shutdown", {"how": "write"}),
    ("GET", "/v1/sockets/{ref}/info"): Example("/v1/sockets/web/info"),
    ("POST", "/v1/sockets/{ref}/send"): Example(
        "/v1/sockets/web/send", raw="hello\n", headers={"Content-Type": _OCTETS}
    ),
    ("POST", "/v1/sockets/{ref}/recv"): Example("/v1/sockets/web/recv", {"size": 4096, "timeout": 30}),
    ("GET", "/v1/sockets/{ref}/stream"): Example("/v1/sockets/web/stream?timeout=30"),
    ("PUT", "/v1/sockets/{ref}/stream"): Example(
        "/v1/sockets/web/stream?shutdown=write", raw="hello\n", headers={"Content-Type": _OCTETS}
    ),
    ("GET", "/v1/sockets/{ref}/options"): Example("/v1/sockets/web/options"),
    ("GET", "/v1/sockets/{ref}/options/{name}"): Example("/v1/sockets/web/options/SO_RCVBUF"),
    ("PUT", "/v1/sockets/{ref}/options/{name}"): Example(
        "/v1/sockets/web/options/SO_KEEPALIVE", {"value": True}
    ),
    ("POST", "/v1/poll"): Example(
        "/v1/poll", {"sockets": [{"socket": "web", "events": ["POLLIN"]}], "timeout": 30}
    ),
    ("POST", "/v1/sockets/{ref}/take"): Example("/v1/sockets/web/take"),
    ("POST", "/v1/sockets/take"): Example("/v1/sockets/take", {"sockets": ["web"]}),
    ("POST", "/v1/sockets/give"): Example("/v1/sockets/give", {"pid": 4242, "fd": 7, "name": "given"}),
    ("POST", "/v1/sockets/{ref}/tunnel"): Example(
        "/v1/sockets/web/tunnel", headers={"Connection": "Upgrade", "Upgrade": "tcp"}
    ),
    ("GET", "/v1/sockets/{ref}/tunnel"): Example(
        "/v1/sockets/web/tunnel",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        },
    ),
    ("POST", "/v1/forwards"): Example("/v1/forwards", {"sockets": ["left", "right"]}),
    ("GET", "/v1/forwards"): Example("/v1/forwards"),
    ("GET", "/v1/forwards/{id}"): Example("/v1/forwards/5f2e8a01c4d7?timeout=30"),
    ("DELETE", "/v1/forwards/{id}"): Example("/v1/forwards/5f2e8a01c4d7"),
    ("GET", "/v1/events"): Example("/v1/events?after=0&timeout=0"),
    ("GET", "/metrics"): Example("/metrics"),
    ("GET", "/v1/caller"): Example("/v1/caller"),
    ("GET", "/v1/process"): Example("/v1/process"),
    ("GET", "/v1/process/fds"): Example("/v1/process/fds"),
    ("GET", "/v1/process/fds/{n}"): Example("/v1/process/fds/64"),
    ("GET", "/v1/addrinfo"): Example("/v1/addrinfo?service=3490&flags=AI_PASSIVE&type=stream"),
    ("GET", "/v1/byteorder/{function}/{n}"): Example("/v1/byteorder/htons/3490"),
    ("GET", "/v1/networks/{address}/{prefix}"): Example("/v1/networks/192.0.2.10/24"),
}


def curl(method: str, path: str) -> str:
    """Write the command for an operation; ``$S`` is the path of the daemon's socket.

    An operation without an example gets a command with its path's braces left to fill in.
    """
    example = EXAMPLES.get((method, path), Example(path))
    words = ['curl -s --unix-socket "$S"']
    has_body = example.body is not None or example.raw is not None
    if method != ("POST" if has_body else "GET"):
        words.append(f"-X {method}")
    words += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in example.headers.items()]
    if example.raw is not None:
        words.append(f"--data-binary {_quoted(example.raw)}")
    if example.body is not None:
        words.append(f"--json {shlex.quote(json.dumps(example.body))}")
    return " ".join([*words, shlex.quote(BASE + example.target)])


def _quoted(text: str) -> str:
    """Quote for bash, with line feeds as one types them."""
    return "$" + shlex.quote(text).replace("\n", r"\n") if "\n" in text else shlex.quote(text)
