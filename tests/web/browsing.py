"""The application over either kind of connection, asked with the headers that a browser sends."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.web.in_process import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.in_process import Web

BAD, FOREIGN_HOST, FOREIGN_ORIGIN = (400, "malformed_host"), (421, "foreign_host"), (403, "foreign_origin")
TOKEN = {"Authorization": "Bearer secret"}


@pytest.fixture(params=["unix", "tcp"])
def where(request: pytest.FixtureRequest) -> Iterator[Web]:
    """The application over either kind of connection."""
    with serving(token="secret") as web:
        if request.param == "unix":
            yield web
        else:
            with over_tcp(web):
                yield web


@contextmanager
def over_tcp(web: Web, address: str = "127.0.0.1", family: socket.AddressFamily = socket.AF_INET):
    """Have requests of the body come in over TCP, by the listener's side of a real connection."""
    ours = web.connection
    with (
        socket.create_server((address, 0), family=family, dualstack_ipv6=address == "::") as server,
        socket.create_connection(("127.0.0.1" if address == "::" else address, server.getsockname()[1])),
        server.accept()[0] as accepted,
    ):
        web.connection = accepted
        try:
            yield
        finally:
            web.connection = ours


def asked(
    web: Web, method: str = "POST", path: str = "/v1/sockets", **headers: str | None
) -> tuple[int, Any]:
    """Ask with these headers (``_`` is a dash); return the status, and the code of a refusal."""
    given = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    answer = web.ask(method, path, headers={**TOKEN, **given})
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]
    assert "Set-Cookie" not in answer.headers
    return answer.status_code, answer.json["code"] if answer.status_code >= 400 else None


def is_untouched(web: Web) -> bool:
    return len(web.service.table) == 0
