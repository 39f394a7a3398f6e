"""A local socket that waits as its timeout says, and whose description stays non-blocking all the same."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import ReadableBuffer, WriteableBuffer

    Control = tuple[int, int, ReadableBuffer]

# "For ever": with a timeout CPython waits by poll(2) and leaves O_NONBLOCK set. 24 days are the most that
# fit into poll's int of milliseconds (socket_parse_timeout, Modules/socketmodule.c).
_FOREVER_S: Final = float((2**31 - 1) // 1000)
# Plain ints: an operation on the socket module's enums costs a microsecond.
_DONTWAIT: Final = int(socket.MSG_DONTWAIT)
_WAITALL: Final = int(socket.MSG_WAITALL)
_PEEK: Final = int(socket.MSG_PEEK)
# The kernel never waits for the urgent byte (tcp_recv_urg, net/ipv4/tcp.c) nor for an error in the queue
# (sock_dequeue_err_skb, net/core/skbuff.c), and poll(2) does not tell them by POLLIN.
_AT_ONCE: Final = _DONTWAIT | int(socket.MSG_OOB) | int(getattr(socket, "MSG_ERRQUEUE", 0))

_SENDTO_LENGTHS: Final = (1, 2)  # of what follows the data

_Native: Final = socket.socket  # the original: the module's may be replaced later


class Nonblocking(socket.socket):
    """A ``socket.socket`` for a description that others share, and that has to stay non-blocking.

    ``settimeout(None)`` and ``setblocking(True)`` clear ``O_NONBLOCK``, which is the description's: whoever
    else has it would then hang in an ``accept`` that finds nothing. Here they only make the calls wait. Nor
    do the calls trust it, for others may clear it: CPython polls, and each passes ``MSG_DONTWAIT``.

    What the kernel does differently for blocking descriptions is done here: ``MSG_DONTWAIT``, ``MSG_OOB`` and
    ``MSG_ERRQUEUE`` do not wait, ``MSG_WAITALL`` of ``recv`` and ``recv_into`` waits for all (with
    ``MSG_PEEK`` it does not), ``send`` and ``sendmsg`` on a stream send all. A call with a timeout of
    ``None`` raises ``TimeoutError`` after 24 days.

    Args:
        fileno: A descriptor of a non-blocking description; owned by the object from here.
    """

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:  # noqa: A002
        super().__init__(family, type, proto, fileno)
        if super().gettimeout() is None:
            self.settimeout(None)

    def settimeout(self, value: float | None, /) -> None:
        """Set how long calls wait: ``None`` for ever, 0 not at all."""
        super().settimeout(_FOREVER_S if value is None else value)

    def gettimeout(self) -> float | None:
        """Return what ``settimeout`` set."""
        value = super().gettimeout()
        return None if value == _FOREVER_S else value

    @property
    def timeout(self) -> float | None:
        """What ``settimeout`` set."""
        return self.gettimeout()

    def setblocking(self, flag: bool, /) -> None:  # noqa: FBT001 - the socket module's signature
        """Wait for ever, or not at all."""
        self.settimeout(None if flag else 0.0)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive at most ``bufsize`` bytes."""
        if flags and self._is_eager(flags, _AT_ONCE):
            return self._at_once("recv", bufsize, flags)  # type: ignore[no-any-return]
        if flags and bufsize > 0 and self._takes_all(flags):
            data = bytearray(bufsize)
            return bytes(data[: self._fill(memoryview(data), flags)])
        return super().recv(bufsize, flags | _DONTWAIT)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """Receive into a buffer, at most ``nbytes`` or what fits."""
        if flags and self._is_eager(flags, _AT_ONCE):
            return self._at_once("recv_into", buffer, nbytes, flags)  # type: ignore[no-any-return]
        if flags and nbytes >= 0 and self._takes_all(flags):
            view = memoryview(buffer).cast("B")
            if nbytes <= len(view):
                return self._fill(view[: nbytes or None], flags)
        return super().recv_into(buffer, nbytes, flags | _DONTWAIT)

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """Receive a message and where it came from."""
        if flags and self._is_eager(flags, _AT_ONCE):
            return self._at_once("recvfrom", bufsize, flags)  # type: ignore[no-any-return]
        return super().recvfrom(bufsize, flags | _DONTWAIT)

    def recvfrom_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """Receive a message into a buffer, and where it came from."""
        if flags and self._is_eager(flags, _AT_ONCE):
            return self._at_once("recvfrom_into", buffer, nbytes, flags)  # type: ignore[no-any-return]
        return super().recvfrom_into(buffer, nbytes, flags | _DONTWAIT)

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
        """Receive a message and its control data."""
        if flags and self._is_eager(flags, _AT_ONCE):
            return self._at_once("recvmsg", bufsize, ancbufsize, flags)  # type: ignore[no-any-return]
        return super().recvmsg(bufsize, ancbufsize, flags | _DONTWAIT)

    def recvmsg_into(
        self, buffers: Iterable[WriteableBuffer], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Any]:
        """Receive a message into several buffers, and its control data."""
        if flags and self._is_eager(flags, _AT_ONCE):
            return self._at_once("recvmsg_into", buffers, ancbufsize, flags)  # type: ignore[no-any-return]
        return super().recvmsg_into(buffers, ancbufsize, flags | _DONTWAIT)

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        """Send bytes; return how many went: all, unless there is a timeout or an error."""
        if flags and self._is_eager(flags):
            return self._at_once("send", data, flags)  # type: ignore[no-any-return]
        sent = super().send(data, flags | _DONTWAIT)
        view = memoryview(data)
        if sent < view.nbytes and self.gettimeout() is None:
            sent += self._send_rest(view.cast("B")[sent:], flags)
        return sent

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        """Send all bytes."""
        if flags and self._is_eager(flags):
            self._at_once("sendall", data, flags)
        else:
            super().sendall(data, flags | _DONTWAIT)

    def sendto(self, data: ReadableBuffer, *flags_and_address: Any) -> int:
        """Send a message to an address: ``sendto(data, address)`` or ``sendto(data, flags, address)``."""
        if len(flags_and_address) not in _SENDTO_LENGTHS:
            return super().sendto(data, *flags_and_address)  # it says how many there may be
        flags = flags_and_address[0] if len(flags_and_address) > 1 else 0
        if flags and self._is_eager(flags):
            return self._at_once("sendto", data, *flags_and_address)  # type: ignore[no-any-return]
        return super().sendto(data, flags | _DONTWAIT, flags_and_address[-1])

    def sendmsg(
        self,
        buffers: Iterable[ReadableBuffer],
        ancdata: Iterable[Control] = (),
        flags: int = 0,
        address: Any = None,
        /,
    ) -> int:
        """Send a message and its control data; return how many bytes went, as ``send``."""
        if flags and self._is_eager(flags):
            return self._at_once("sendmsg", buffers, ancdata, flags, address)  # type: ignore[no-any-return]
        parts = list(buffers)
        sent = super().sendmsg(parts, ancdata, flags | _DONTWAIT, address)
        if sent < sum(memoryview(part).nbytes for part in parts) and self.gettimeout() is None:
            sent += self._send_rest(memoryview(b"".join(parts))[sent:], flags)
        return sent

    def _is_eager(self, flags: int, which: int = _DONTWAIT) -> bool:
        """Tell whether the call must not wait although others do; CPython's timeouts ignore the flags."""
        return bool(flags & which) and self.gettimeout() is None

    def _takes_all(self, flags: int) -> bool:
        is_asked = bool(flags & _WAITALL) and not flags & _PEEK
        return is_asked and self.gettimeout() is None and self.type == socket.SOCK_STREAM

    def _at_once(self, method: str, /, *args: Any) -> Any:
        """Make a call on an object of the same descriptor that does not wait."""
        number = self.fileno()
        if number < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        twin = _Native(self.family, self.type, self.proto, number)
        try:
            twin.settimeout(0)
            return getattr(twin, method)(*args)
        finally:
            twin.detach()

    def _fill(self, view: memoryview, flags: int) -> int:
        """Receive until the buffer is full; what came before an error or the end counts."""
        size = 0
        while size < len(view):
            try:
                came = super().recv_into(view[size:], 0, flags & ~_WAITALL | _DONTWAIT)
            except OSError:
                if not size:
                    raise
                break  # the next call tells it, as the kernel has it
            if not came:
                break
            size += came
        return size

    def _send_rest(self, rest: memoryview, flags: int) -> int:
        """Send until all is gone; an error is left to the next call, for some bytes went before it."""
        size = 0
        while size < len(rest):
            try:
                size += super().send(rest[size:], flags | _DONTWAIT)
            except OSError:
                break
        return size
