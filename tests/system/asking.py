"""What tests against a daemon share: everything they made is closed at their end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd_client import Client


@contextmanager
def closing_all(client: Client) -> Iterator[None]:
    """Close every socket the client sees after the body."""
    try:
        yield
    finally:
        for sock in client.sockets.list():
            sock.close()
