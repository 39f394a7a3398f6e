"""The sides of a relay: what one gives and takes without waiting, and the held socket as one."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Final, Protocol

from socketd.core import ancillary, polling
from socketd.core.hints import refused
from socketd.core.receiving import is_end, is_shut
from socketd.core.seams import EDGE
from socketd.core.transfer import is_stream

if TYPE_CHECKING:
    from socketd.core.entry import Entry
    from socketd.core.seams import Closer

CHUNK_BYTES: Final = 64 * 1024
"""Taken at once, and so what is under way in one direction; of a message socket it is one message."""


class Leg(Protocol):
    """One side; nothing of it waits.

    Attributes:
        is_ended: Its end has come, and everything before it was given by ``receive``.
        has_more: What has come already is not all looked at: ``receive`` is worth while without any event.
    """

    @property
    def is_ended(self) -> bool:
        """Whether nothing more will come."""

    @property
    def has_more(self) -> bool:
        """Whether something is left to be looked at."""

    @property
    def in_hand(self) -> int:
        """How many bytes ``receive`` would give without asking the kernel."""

    def fileno(self) -> int:
        """Give the descriptor to be watched for ``awaits``; nobody else of this request watches it."""

    def awaits(self, *, reading: bool, writing: bool) -> int:
        """Name the poll(2) events after which it is worth while to try again."""

    def receive(self) -> bytes | None:
        """Give what has come, on a message socket one message; ``None``: nothing now, or ``is_ended``.

        Raises:
            ClientGoneError, KernelRefusedError: It broke.
        """

    def send(self, data: memoryview) -> memoryview | None:
        """Take bytes; returns those that there was no room for, which come again, ``None``: all went.

        Raises:
            ClientGoneError, KernelRefusedError: It broke.
        """

    def end(self) -> None:
        """Tell this side that nothing more will be sent to it."""

    def has_left(self) -> bool:
        """Whether there is nobody any more to send to; what came before may still be received."""

    def tend(self) -> bool:
        """Do what else is due; whether that was anything.

        Raises:
            ClientGoneError: It broke.
        """

    def idle(self) -> None:
        """Hear that nothing has happened for a while."""


class HeldLeg:
    """A held socket as one side of a relay. Others may use it beside; so it is asked, and nothing assumed.

    Args:
        entry: The socket.
        closer: Closes descriptors that come with bytes; a client's side has no room for them.
    """

    has_more = False
    in_hand = 0

    def __init__(self, entry: Entry, closer: Closer) -> None:
        self._entry = entry
        self._closer = closer
        self._sock = entry.sock
        self._is_stream = is_stream(entry)
        self.is_ended = False

    def fileno(self) -> int:
        """Give its number."""
        return self._entry.fd

    def awaits(self, *, reading: bool, writing: bool) -> int:
        """Name poll(2) events, as edges: one that comes unasked may hold on, and be nothing to read here.

        A timestamp of what was sent is POLLERR until somebody reads the error queue.
        """
        events = (polling.POLLIN if reading else 0) | (polling.POLLOUT if writing else 0)
        return events and events | EDGE

    def receive(self) -> bytes | None:
        """Take bytes or one whole message.

        Raises:
            KernelRefusedError: ECONNRESET, ECONNREFUSED, …
        """
        try:
            if self._is_stream:
                data = ancillary.receive_bytes(self._sock, CHUNK_BYTES, self._closer)
            else:
                # The length first: one of a megabyte is rare, and none may be cut.
                peek = socket.MSG_PEEK | socket.MSG_TRUNC | socket.MSG_DONTWAIT
                length = self._sock.recv_into(bytearray(1), 1, peek)
                data = ancillary.receive_bytes(self._sock, max(length, 1), self._closer)
        except BlockingIOError:
            # A Unix datagram socket that is shut for reading says so for ever.
            self.is_ended = not self._is_stream and is_shut(self._entry)
            return None
        except OSError as error:
            raise refused(error, "recv") from error
        if not data and (self._is_stream or is_end(self._entry, 0)):
            self.is_ended = True
            return None
        return data

    def send(self, data: memoryview) -> memoryview | None:
        """Send bytes, or one whole message.

        Raises:
            KernelRefusedError: EPIPE, ECONNRESET, EMSGSIZE, …
        """
        try:
            sent = self._sock.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return data
        except OSError as error:
            raise refused(error, "send") from error
        return data[sent:] if sent < len(data) else None

    def end(self) -> None:
        """Shut the sending side; datagram sockets have none to shut."""
        if self._entry.type != socket.SOCK_DGRAM:
            with contextlib.suppress(OSError):  # ENOTCONN: the peer has reset it, and receiving tells
                self._sock.shutdown(socket.SHUT_WR)

    def has_left(self) -> bool:
        """Say no: sending tells."""
        return False

    def tend(self) -> bool:
        """Do nothing: the kernel does it."""
        return False

    def idle(self) -> None:
        """Say nothing."""
