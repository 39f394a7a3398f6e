"""A WebSocket (RFC 6455, by wsproto) as one side of a relay: its messages are bytes, or datagrams."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Message, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from socketd.errors import ClientGoneError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsproto import WSConnection
    from wsproto.events import Event

    from socketd.core.relaying import Line

_REASON_BYTES: Final = 123  # RFC 6455, 5.5: a control frame carries 125, two of them the code
_FRAMES: Final = 64
"""Looked at in one go: of what is read at once there may be ten thousand, some 20 µs each."""
_MOST_UNSENT: Final = 64 * 1024
"""What may wait for a client that sends pings and reads nothing; then nothing more is read of it."""


class WebSocketLeg:
    """A client's WebSocket (``core.legs.Leg``).

    On a stream socket a message is some bytes, wherever it is cut, and an empty one the end of that
    direction, both ways. On others a message is a message. Text counts as its UTF-8.

    Args:
        line: The connection; closed by who has it.
        connection: wsproto's, with the handshake read.
        accept: The answer to that.
        is_stream: What the held socket is.
        most_bytes: Of one message, where it is to be whole.
    """

    def __init__(
        self,
        line: Line,
        connection: WSConnection,
        accept: AcceptConnection,
        *,
        is_stream: bool,
        most_bytes: int,
    ) -> None:
        self._line = line
        self._connection = connection
        self._is_stream = is_stream
        self._most_bytes = most_bytes
        self._came: deque[bytes] = deque()
        self._frames: Iterator[Event] | None = None  # of what was read, those not looked at yet
        self._message = bytearray()  # of one that is not whole
        self._is_empty = True  # so far
        self._failure: ClientGoneError | None = None
        self._verdict: tuple[int, str] | None = None
        self._unsent = memoryview(connection.send(accept))
        self.has_ended = False  # the client's direction

    @property
    def is_ended(self) -> bool:
        """Whether the client has ended its direction, and all of it was given."""
        return self.has_ended and not self._came

    @property
    def has_more(self) -> bool:
        """Whether frames wait that were read."""
        return self._frames is not None and self._may_read

    @property
    def in_hand(self) -> int:
        """Count what has come and was not given; of a message that is not whole nothing."""
        return sum(map(len, self._came))

    @property
    def is_open(self) -> bool:
        """Whether neither side has said that it closes."""
        return self._connection.state is ConnectionState.OPEN

    @property
    def is_closed(self) -> bool:
        """Whether both have said so, and ours is on its way."""
        return self._connection.state is ConnectionState.CLOSED and not self._unsent

    def fileno(self) -> int:
        """Give the connection's descriptor."""
        return self._line.fileno()

    def awaits(self, *, reading: bool, writing: bool) -> int:
        """Name poll(2) events: pings and closes come when the client's bytes have ended, too."""
        is_reading = (reading or self.has_ended) and len(self._unsent) < _MOST_UNSENT
        return self._line.awaits(reading=is_reading, writing=writing or bool(self._unsent))

    def receive(self) -> bytes | None:
        """Give bytes, or the next message.

        Raises:
            ClientGoneError: It has closed, its connection broke, or it breaks the protocol.
        """
        if not (self._came or self.has_ended):
            self._read()
        if not self._came:
            self._raise_failure()
            return None
        if not self._is_stream:
            return self._came.popleft()
        data = b"".join(self._came)
        self._came.clear()
        return data

    def send(self, data: memoryview) -> memoryview | None:
        """Send it as one message, if the one before has gone.

        Raises:
            ClientGoneError: Nobody reads any more.
        """
        self._flush()
        if self._unsent:
            return data
        self._queue(BytesMessage(bytes(data)))
        return None

    def end(self) -> None:
        """Send the empty message that ends our direction; where there are no directions, all has ended."""
        if self._is_stream:
            self._queue(BytesMessage(b""))
        else:
            self.has_ended = True

    def has_left(self) -> bool:
        """Whether nobody reads any more."""
        return self._line.has_left()

    def tend(self) -> bool:
        """Send what waits; when the client's bytes have ended, hear its pings and its close."""
        before = len(self._unsent)
        self._flush()
        has_read = self.has_ended and self._read()
        if self.is_ended:
            self._raise_failure()
        return has_read or len(self._unsent) < before

    def idle(self) -> None:
        """Send a ping: what stands between sees that it is in use, and a client that is gone answers so."""
        if not self._unsent:
            self._queue(Ping(b""))

    def close(self, code: int, reason: str = "") -> None:
        """Say that it is over, and why: if the client broke the protocol, that; a second time is harmless."""
        if self.is_open:
            code, reason = self._verdict or (code, reason)
            cut = reason.encode()[:_REASON_BYTES].decode(errors="ignore")
            self._queue(CloseConnection(code, cut or None))

    def await_close(self) -> bool:
        """Read a bit on for the client's own close, and drop what else comes; whether it was anything.

        After a breach of the protocol nothing can be read out of what comes: then our FIN follows our close.

        Raises:
            ClientGoneError: It has gone.
        """
        self._flush()
        if self._verdict is None:
            has_read = self._read()
            self._came.clear()
        else:
            if not self._unsent:
                self._line.end()
            has_read = self._line.receive() is not None
        if self._line.is_ended:
            raise ClientGoneError
        return has_read

    @property
    def _may_read(self) -> bool:
        return self._failure is None and len(self._unsent) < _MOST_UNSENT

    def _read(self) -> bool:
        """Take in some of what has come; whether that was anything."""
        if not self._may_read:
            return False
        if self._frames is None:
            data = self._line.receive()
            if data is None:
                if self._line.is_ended:
                    self._failure = ClientGoneError()  # without a close
                return False
            if self._connection.state is ConnectionState.CLOSED:  # what follows the client's close
                return True
            self._connection.receive_data(data)
            self._frames = self._connection.events()
        self._look(self._frames)
        return True

    def _look(self, frames: Iterator[Event]) -> None:
        """Hear some of what was read; nothing that comes behind a failure."""
        for _ in range(_FRAMES):
            event = next(frames, None)
            if event is None:
                self._frames = None
                return
            self._hear(event)
            if not self._may_read:
                return

    def _raise_failure(self) -> None:
        """Raise what ends it; what came before that has been given."""
        if self._failure is not None:
            raise self._failure

    def _hear(self, event: Event) -> None:
        if isinstance(event, Message):
            self._take(event)
        elif isinstance(event, Ping):
            if self.is_open:
                self._queue(event.response())
        elif isinstance(event, CloseConnection):
            if self._connection.state is ConnectionState.REMOTE_CLOSING:
                self._queue(event.response())
                self._failure = ClientGoneError()
            elif self.is_open:  # the library's own verdict on what came
                self._refuse(event.code, event.reason or "")

    def _take(self, event: Message[Any]) -> None:
        """Add a piece of a message."""
        if self.has_ended:
            self._refuse(CloseReason.PROTOCOL_ERROR, "bytes after the empty message, which is the end")
            return
        data = event.data.encode() if isinstance(event, TextMessage) else bytes(event.data)
        self._is_empty = self._is_empty and not data
        if self._is_stream:
            if data:
                self._came.append(data)
            self.has_ended = event.message_finished and self._is_empty
        else:
            self._message += data
            if len(self._message) > self._most_bytes:
                self._message.clear()
                self._refuse(CloseReason.MESSAGE_TOO_BIG, f"more than {self._most_bytes} bytes")
            elif event.message_finished:
                self._came.append(bytes(self._message))
                self._message.clear()
        if event.message_finished:
            self._is_empty = True

    def _refuse(self, code: int, reason: str) -> None:
        """Read no more: the client breaks the protocol, and is told so by ``close``."""
        self._verdict = (code, reason)
        self._failure = ClientGoneError()

    def _queue(self, event: Event) -> None:
        self._unsent = memoryview(bytes(self._unsent) + self._connection.send(event))
        self._flush()

    def _flush(self) -> None:
        while self._unsent:
            rest = self._line.send(self._unsent)
            if rest is None:
                self._unsent = memoryview(b"")
            elif len(rest) == len(self._unsent):
                return
            else:
                self._unsent = rest
