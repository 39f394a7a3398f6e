"""A listener made by the drop-in's own function."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import socketd_client
from socketd_client import Client, Socket

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = ("127.0.0.1", 0)


@pytest.fixture
def listener(client: Client) -> Iterator[Socket]:
    with socketd_client.create_server(LOOPBACK, client=client) as listener:
        assert isinstance(listener, Socket)
        yield listener
