"""Connections of the API that have left HTTP, as a relay or the pump uses them."""

from __future__ import annotations

import _socket
import contextlib
import os
import select
import struct
from typing import TYPE_CHECKING, Any, Final

from gevent import ssl

from socketd.errors import ClientGoneError, KernelRefusedError
from socketd.runtime.patience import probe
from socketd.runtime.waiting import new_poll

if TYPE_CHECKING:
    from socketd.runtime.pace import PlainConnection
    from socketd.runtime.tls import Connection

_CHUNK_BYTES: Final = 64 * 1024
_LINGER: Final = struct.Struct("ii")
_FLAGS: Final = _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL


class _Line:
    """What both have in common (``core.relaying.Line``).

    Until ``end_well`` a close of the last descriptor resets a TCP connection (SO_LINGER with no time), the
    kernel's at our death included: what ends without a word would else be an end of file for the client. A
    Unix connection has no reset that we could cause.

    Args:
        connection: Not owned; nobody else reads or writes it from now on.
        early: What was read of it before.

    Raises:
        KernelRefusedError: EMFILE.
    """

    is_bare = True
    has_more = False

    def __init__(self, connection: Any, early: bytes) -> None:
        self._early = early
        self.is_ended = False
        self._is_shut = self._is_known_to_have_left = False
        try:
            self._sock = _socket.socket(fileno=os.dup(connection.fileno()))
        except OSError as error:
            raise KernelRefusedError(error, "dup") from error
        self._linger(is_on=True)
        with contextlib.suppress(OSError):  # it has gone
            probe(self._sock)

    def fileno(self) -> int:
        """Give the number of our duplicate."""
        return self._sock.fileno()

    @property
    def in_hand(self) -> int:
        """Count what was read before, and not given."""
        return len(self._early)

    def take_early(self) -> bytes:
        """Give what was read before, once."""
        early, self._early = self._early, b""
        return early

    def tend(self) -> bool:
        """Look whether a client that has ended its direction is still there to hear the other.

        Raises:
            ClientGoneError: It is not.
        """
        if self.is_ended and self.has_left():
            raise ClientGoneError
        return False

    def idle(self) -> None:
        """Say nothing."""

    def has_left(self) -> bool:
        """Whether the client neither reads nor writes any more, as far as can be known (POLLHUP).

        A Unix client that closes hangs up. A TCP client that closes looks like one that ends its direction,
        until it answers something with a reset. And when we have ended ours, both look like that.
        """
        if not (self._is_shut or self._is_known_to_have_left):
            poll = new_poll()
            poll.register(self._sock.fileno(), 0)
            self._is_known_to_have_left = any(events & select.POLLHUP for _, events in poll.poll(0))
        return self._is_known_to_have_left

    def end(self) -> None:
        """Send FIN; what the client sends still comes."""
        self._is_shut = True
        with contextlib.suppress(OSError):  # ENOTCONN: it has reset the connection
            self._sock.shutdown(_socket.SHUT_WR)

    def end_well(self) -> None:
        """Let a close send what is under way, and then FIN."""
        self._linger(is_on=False)

    def close(self) -> None:
        """Close our duplicate."""
        self._sock.close()

    def _watched_for(self, events: int) -> int:
        """Add the hang-up to poll(2) events, as long as it would tell something."""
        return events if self._is_shut or self._is_known_to_have_left else events | select.POLLHUP

    def _came(self, data: bytes) -> bytes | None:
        """Tell the end of file, and of the client, from bytes."""
        if not data and self.has_left():
            raise ClientGoneError
        self.is_ended = not data
        return data or None

    def _linger(self, *, is_on: bool) -> None:
        if self._sock.family != _socket.AF_UNIX:
            with contextlib.suppress(OSError):  # it has gone
                self._sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _LINGER.pack(is_on, 0))


class PlainLine(_Line):
    """One without TLS; used by its number, whatever its timeout is."""

    def __init__(self, connection: PlainConnection, early: bytes) -> None:
        super().__init__(connection, early)

    def awaits(self, *, reading: bool, writing: bool) -> int:
        """Name poll(2) events."""
        return self._watched_for((select.POLLIN if reading else 0) | (select.POLLOUT if writing else 0))

    def receive(self) -> bytes | None:
        """Give what has come.

        Raises:
            ClientGoneError: It has closed or reset the connection.
        """
        if self._early:
            return self.take_early()
        try:
            data = self._sock.recv(_CHUNK_BYTES, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError as error:
            raise ClientGoneError from error
        return self._came(data)

    def send(self, data: memoryview) -> memoryview | None:
        """Send what there is room for; returns the rest.

        Raises:
            ClientGoneError: Nobody reads any more.
        """
        try:
            sent = self._sock.send(data, _FLAGS)
        except BlockingIOError:
            return data
        except OSError as error:
            raise ClientGoneError from error
        return data[sent:] if sent < len(data) else None


class TlsLine(_Line):
    """One with TLS, where only OpenSSL knows what the bytes are.

    One direction ends by FIN alone, both ways. close_notify would say it better; but OpenSSL's SSL_shutdown,
    as Python calls it, reads as well, and ends the session for good when application data is what it finds.
    """

    is_bare = False

    def __init__(self, connection: Connection, early: bytes) -> None:
        super().__init__(connection, early)
        self._connection = connection
        self._read_event = select.POLLIN
        connection.settimeout(0.0)

    def awaits(self, *, reading: bool, writing: bool) -> int:
        """Name poll(2) events; what OpenSSL has read ahead was given before anybody waits."""
        return self._watched_for((self._read_event if reading else 0) | (select.POLLOUT if writing else 0))

    def receive(self) -> bytes | None:
        """Give what has come.

        Raises:
            ClientGoneError: The connection is closed or reset, or what came is no TLS.
        """
        if self._early:
            return self.take_early()
        try:
            data: bytes = ssl.SSLSocket.recv(self._connection, _CHUNK_BYTES)
        except ssl.SSLWantReadError:
            self._read_event = select.POLLIN
            return None
        except ssl.SSLWantWriteError:
            self._read_event = select.POLLOUT
            return None
        except (OSError, ValueError) as error:
            raise ClientGoneError from error
        return self._came(data)

    def send(self, data: memoryview) -> memoryview | None:
        """Send what there is room for; returns the rest, which has to come again as it is.

        Raises:
            ClientGoneError: Nobody reads any more.
        """
        try:
            sent = ssl.SSLSocket.send(self._connection, data)  # 0 where it would wait
        except (OSError, ValueError) as error:
            raise ClientGoneError from error
        return data[sent:] if sent < len(data) else None

    def end_well(self) -> None:
        """Let a close say close_notify, and then FIN."""
        super().end_well()
        self._connection.is_cut = False
