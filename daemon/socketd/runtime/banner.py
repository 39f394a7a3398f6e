"""What `socketd run` and `socketd serve` tell a person at a terminal: where they are, and lines to paste."""

from __future__ import annotations

import errno
import json
import shlex
import socket

FIRST_PORT = 3490
PORTS_TRIED = 100


def banner(urls: list[str], token: str | None) -> str:
    """Return what is printed once requests are answered; the lines work on this host as they are."""
    lines = [f"socketd serves {', '.join(urls)}    (Ctrl-C stops it and closes every socket it holds)", ""]
    unix = next((url for url in urls if url.startswith("unix://")), None)
    web = next((url for url in urls if url.startswith("http")), None)
    lines.append(f"  export SOCKETD_URL={shlex.quote(unix or web or '')}")
    if token is not None:
        lines.append(f"  export SOCKETD_TOKEN={shlex.quote(token)}    # for {web}")
    lines += ["", "Make a listening socket, list it, see it in the daemon's descriptor table, close it:", ""]
    lines += [f"  {line}" for line in curl_lines(unix or web or "", token)]
    return "\n".join(lines) + "\n"


def curl_lines(url: str, token: str | None) -> list[str]:
    """Return four commands for a shell, to be run in this order, as often as one likes."""
    curl = _curl(url, token)
    base = "http://localhost" if url.startswith("unix://") else url
    body = {
        "name": "demo",
        "bind": {"service": str(free_port()), "flags": ["AI_PASSIVE"]},
        "listen": {"backlog": 16},
    }
    return [
        # Not --json: curl has it since 7.82, of 2022.
        f"{curl} -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))} {base}/v1/sockets",
        f"{curl} {base}/v1/sockets",
        f"{curl} {base}/v1/process/fds",
        f"{curl} -X DELETE {base}/v1/sockets/demo",
    ]


def free_port() -> int:
    """Return 3490 where nobody has it, else the next port that nobody has."""
    for port in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        if all(_is_free(family, port) for family in (socket.AF_INET, socket.AF_INET6)):
            return port
    return 0  # the kernel's choice


def _is_free(family: int, port: int) -> bool:
    """Bind, not listen: nobody can connect in between. A family that the host lacks is in nobody's way."""
    try:
        probe = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return True
    with probe:
        try:
            probe.bind(("", port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


def _curl(url: str, token: str | None) -> str:
    if url.startswith("unix://"):
        return f"curl -sS --unix-socket {shlex.quote(url.removeprefix('unix://'))}"
    if token is None:
        return 'curl -sS -H "Authorization: Bearer $SOCKETD_TOKEN"'
    return f"curl -sS -H {shlex.quote(f'Authorization: Bearer {token}')}"
