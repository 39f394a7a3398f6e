"""What goes through a held socket: the records of sending and receiving, and how a message is sent."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from socketd.core import polling
from socketd.core.hints import refused
from socketd.core.waiting import until_done
from socketd.errors import SocketdError, WaitTimeoutError, WouldBlockError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from socketd.core.address import Address
    from socketd.core.control import Attached
    from socketd.core.entry import Entry
    from socketd.core.waiting import Patience

# O_NONBLOCK is shared with whoever took a duplicate and may change under us; these flags are ours alone.
_FLAGS: Final = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Bytes to send; on a message socket one message.

    Attributes:
        attached: Control messages that go with the first byte.
    """

    data: bytes
    to: Address | None = None
    attached: Attached | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """How much went.

    Attributes:
        size: In bytes, over all messages.
        messages: Sent whole.
        is_complete: Whether that is everything.
        error: Why it is not, unless the time was simply over.
    """

    size: int
    messages: int
    is_complete: bool
    error: SocketdError | None = None


def is_stream(entry: Entry) -> bool:
    """Whether it carries bytes without message boundaries."""
    return entry.type == socket.SOCK_STREAM


def send(entry: Entry, messages: Sequence[Outgoing], flags: int, patience: Patience) -> Sent:
    """Send one or several messages, waiting for room until the patience runs out.

    What went is always told: a failure after something was sent comes in the result.

    Raises:
        KernelRefusedError: EPIPE, ENOTCONN, EDESTADDRREQ, EMSGSIZE, …; nothing was sent.
        WouldBlockError, WaitTimeoutError, ClosedMeanwhileError, ClientGoneError: Nothing was sent.

    Source: send(2), cmsg(3).
    """
    size = done = 0
    for message in messages:
        sending = _Sending(entry, message, flags | _FLAGS)
        error: SocketdError | None = None
        try:
            until_done(entry, polling.POLLOUT, "send", patience, sending.attempt)
        except SocketdError as caught:
            error = caught
        size += sending.offset
        if error is None:
            done += 1
        elif size == 0 and done == 0:
            raise error
        else:
            is_over = isinstance(error, WaitTimeoutError | WouldBlockError)
            return Sent(size, done, is_complete=False, error=None if is_over else error)
    return Sent(size, done, is_complete=True)


class _Sending:
    """One message on its way; remembers how far it got."""

    __slots__ = ("_attached", "_entry", "_flags", "_to", "_view", "offset")

    def __init__(self, entry: Entry, message: Outgoing, flags: int) -> None:
        self._entry = entry
        self._view = memoryview(message.data)
        self._to = message.to
        self._attached = message.attached
        self._flags = flags
        self.offset = 0

    def attempt(self) -> bool | None:
        """Send as much as there is room for; ``None`` while some is left."""
        try:
            while True:
                self.offset += self._send(self._view[self.offset :])
                if self.offset >= len(self._view):
                    return True
        except BlockingIOError:
            return None
        except OSError as error:
            raise refused(error, "send") from error

    def _send(self, rest: memoryview) -> int:
        if self._to is None:
            return self._send_to(rest, None)
        with self._to.reached() as sockaddr:
            return self._send_to(rest, sockaddr)

    def _send_to(self, rest: memoryview, sockaddr: Any) -> int:
        sock = self._entry.sock
        if self._attached is not None:
            with self._attached.items() as items:
                sent = sock.sendmsg([rest], items, self._flags, sockaddr)
            self._attached.on_sent()
            self._attached = None
            return sent
        return sock.send(rest, self._flags) if sockaddr is None else sock.sendto(rest, self._flags, sockaddr)
