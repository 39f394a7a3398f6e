"""``create_connection`` with arguments that are wrong: it ends as the ``socket`` module's does."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import installed

if TYPE_CHECKING:
    from socketd_client import Client

WRONG: list[tuple[Any, dict[str, Any]]] = [
    (("", 1), {}),
    ((b"", 1), {}),
    (("127.0.0.1", -5), {}),
    (("127.0.0.1", "no-such-service"), {}),
    (("127.0.0.1", 1.5), {}),
    (("1.2.3.4.5", 1), {}),
    (("a..b", 1), {}),
    (("x" * 70, 1), {}),
    ((5, 1), {}),
    (("127.0.0.1",), {}),
    (("127.0.0.1", 1, 2), {}),
    (("127.0.0.1", 1), {"source_address": ("192.0.2.1", 0)}),
    (("127.0.0.1", 1), {"unknown": 1}),
]


def ending(address: Any, options: dict[str, Any]) -> tuple[type, int | None]:
    """Tell Python's own class of the error, and its errno."""
    with pytest.raises((OSError, TypeError, ValueError)) as caught:
        socket.create_connection(address, **options)
    kind = next(each for each in caught.type.__mro__ if each.__module__ in ("builtins", "socket"))
    return kind, getattr(caught.value, "errno", None)


@pytest.mark.parametrize("prefer", [None, "descriptor"], ids=["by-request", "by-descriptor"])
@pytest.mark.parametrize(("address", "options"), WRONG)
def test_wrong_argument_ends_as_locally(client: Client, prefer: Any, address: Any, options: dict[str, Any]):
    expected = ending(address, options)
    with installed(client, prefer=prefer):
        assert ending(address, options) == expected
    assert list(client.sockets.list()) == []
