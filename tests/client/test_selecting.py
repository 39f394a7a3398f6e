"""The stand-ins for the selectors: made as the originals are, and a ``socketserver`` on them."""

from __future__ import annotations

import importlib
import os
import selectors
import socket
import socketserver
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from socketd_client.selecting import replacements
from tests.client.http_stand_in import WAIT_S
from tests.client.readiness import pipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd_client import Client

__all__ = ["pipe"]  # fixtures


def test_selectors_are_made_as_the_originals_are(client: Client, pipe: tuple[int, int]):
    made = replacements(client)
    held, other = client.sockets.pair()
    other.send(b"x")
    os.write(pipe[1], b"x")
    for name in ("DefaultSelector", "EpollSelector", "PollSelector", "SelectSelector"):
        kind: Any = made["selectors", name]
        assert issubclass(kind, selectors.BaseSelector)
        assert kind.__name__ == name
        with kind() as selector:
            selector.register(held, selectors.EVENT_READ)
            selector.register(pipe[0], selectors.EVENT_READ)
            assert {key.fd for key, _ in selector.select(WAIT_S)} == {held.fileno(), pipe[0]}


@contextmanager
def put_in_place(client: Client) -> Iterator[None]:
    """Put the stand-ins where programs look for the originals, as ``installed`` does."""
    before = {}
    for (module, name), value in replacements(client).items():
        found = importlib.import_module(module)
        before[found, name] = getattr(found, name)
        setattr(found, name, value)
    try:
        yield
    finally:
        for (module, name), value in before.items():
            setattr(module, name, value)


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(1000):
            self.request.sendall(data)


def test_socketserver_serves_on_a_held_listener(client: Client):
    listener = client.sockets.create(bind=("127.0.0.1", 0), listen=True)
    server = socketserver.ThreadingTCPServer(listener.getsockname(), Echo, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    with put_in_place(client), server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for turn in range(3):
            with socket.create_connection(listener.getsockname(), WAIT_S) as peer:
                peer.sendall(b"hello %d" % turn)
                assert peer.recv(100) == b"hello %d" % turn
        server.shutdown()
        thread.join(WAIT_S)
    assert socketserver._ServerSelector is selectors.PollSelector  # noqa: SLF001 - put back
