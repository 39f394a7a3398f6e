"""What becomes of a piece of a program on local sockets, and on held ones: the same, or the test fails."""

from __future__ import annotations

import gc
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import Client, installed
from tests.system.asking import closing_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.daemon_process import DaemonProcess

BOUND_S = 30.0
LOOPBACK = ("127.0.0.1", 0)
FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
OF_THE_LIBRARY = ("builtins", "socket", "io")


class Comparison:
    """Runs a piece of a program twice."""

    def __init__(self, client: Client, prefer: Any) -> None:
        self._client = client
        self._prefer = prefer

    def __call__(self, piece: Callable[..., Any], *arguments: Any) -> Any:
        """Return what came of it both times; the daemon is left with nothing."""
        local = end(piece, *arguments)
        with installed(self._client, FAMILIES, prefer=self._prefer):
            held = end(piece, *arguments)
        assert held == local
        gc.collect()
        assert list(self._client.sockets.list()) == []
        return local


@pytest.fixture(params=[None, "descriptor"], ids=["by-request", "by-descriptor"])
def same(request: pytest.FixtureRequest, daemon: DaemonProcess) -> Iterator[Comparison]:
    """Give what compares: ``same(piece, *arguments)``."""
    with Client(daemon.url) as client, closing_all(client):
        yield Comparison(client, request.param)


def end(call: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a call returns; of an error Python's own class, with the errno or else the text."""
    try:
        return call(*arguments)
    except (OSError, TypeError, ValueError, OverflowError) as error:
        kind = next(each for each in type(error).__mro__ if each.__module__ in OF_THE_LIBRARY)
        number = getattr(error, "errno", None)
        text = error.args[0] if isinstance(error, TimeoutError) else str(error)
        return kind, text if number is None else number


@contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give both ends of a TCP connection, who called first."""
    with socket.create_server(LOOPBACK) as listener:
        calling = socket.create_connection(listener.getsockname(), BOUND_S)
        called, _ = listener.accept()
    called.settimeout(BOUND_S)
    with calling, called:
        yield calling, called
