"""A WebSocket client by wsproto over a real connection, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import BytesMessage, CloseConnection, Request

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence


class Browser:
    """A client by wsproto over a real connection; one event at a time.

    Args:
        sock: Owned.
        target: The path.
        subprotocols: Offered.
        headers: Besides.
    """

    def __init__(
        self, sock: socket.socket, target: str, subprotocols: Sequence[str] = (), **headers: str
    ) -> None:
        self.sock = sock
        sock.settimeout(30)
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._events: list[Any] = []
        extra = [(name.encode(), value.encode()) for name, value in headers.items()]
        request = Request("localhost", target, subprotocols=list(subprotocols), extra_headers=extra)
        sock.sendall(self._ws.send(request))
        self.answer = self.next()

    def next(self) -> Any:
        """Wait for the next event; ``None``: the connection has ended."""
        while not self._events:
            data = self.sock.recv(65536)
            if not data:
                return None
            self._ws.receive_data(data)
            self._events += self._ws.events()
        return self._events.pop(0)

    def say(self, event: Any) -> None:
        """Send an event."""
        self.sock.sendall(self._ws.send(event))

    def message(self) -> bytes:
        """Wait for a whole binary message."""
        data = b""
        while True:
            event = self.next()
            assert isinstance(event, BytesMessage), event
            data += bytes(event.data)
            if event.message_finished:
                return data

    def closed(self) -> tuple[int, str | None]:
        """Wait for the daemon's close, answer it, and see the connection end."""
        event = self.next()
        assert isinstance(event, CloseConnection), event
        self.say(event.response())
        assert self.sock.recv(1) == b""
        return int(event.code), event.reason

    def close(self) -> None:
        self.sock.close()
