"""Bytes through a held socket, with the manners of ``socket.socket``."""

from __future__ import annotations

import base64
import errno
import os
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from socketd_client.addresses import Address, SocketAddress, address_from_json
from socketd_client.arguments import integer
from socketd_client.calls import BYTES
from socketd_client.constants import flag_mask, message_flag_names
from socketd_client.errors import BadAnswerError
from socketd_client.naming import address_text, wire_address
from socketd_client.reference import HeldSocket, wait
from socketd_client.uploads import FEATURE, LEAST_BYTES, Stream
from socketd_client.wire import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import ReadableBuffer, WriteableBuffer

    from socketd_client.calls import Answer

# Below this, no daemon's limits need to be known.
_SURELY_FITS: Final = 65536
_DONTWAIT: Final = int(getattr(socket, "MSG_DONTWAIT", 0))
# The kernel never waits for the urgent byte, nor for an error in the queue.
_AT_ONCE: Final = _DONTWAIT | flag_mask("OOB", "ERRQUEUE")
_WAITALL: Final = int(socket.MSG_WAITALL)
# Flags that the kernel passes over, for they are the other call's; the daemon would call them a mistake.
_ONLY_OF_RECV: Final = flag_mask("PEEK", "TRUNC", "CTRUNC", "WAITALL", "ERRQUEUE", "CMSG_CLOEXEC")
_ONLY_OF_SEND: Final = flag_mask("CONFIRM", "CTRUNC", "DONTROUTE", "EOR", "FASTOPEN", "MORE", "NOSIGNAL")


class Transfer(HeldSocket):
    """The sending and receiving part of a socket handle."""

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        """Send bytes; return how many went, which may be fewer than there are."""
        self._check("send", data, flags)
        return self._send(_bytes_of(data), integer(flags), None, self._timeout_s)

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        """Send all bytes; the timeout is for all of it. On an error there is no telling how many went.

        More than a mebibyte goes as a stream, without a copy, and each byte once however often the connection
        to the daemon breaks.
        """
        self._check("sendall", data, flags)
        rest, flags = _bytes_of(data), integer(flags)
        deadline = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        if not flags and self._is_long(rest):
            self._stream(deadline).send(rest)
            return
        left_s = self._timeout_s
        while True:
            rest = rest[self._send(rest, flags, None, left_s) :]
            if not rest:
                return
            if deadline is not None:
                left_s = deadline - time.monotonic()
                if left_s <= 0 and self._timeout_s:
                    raise TimeoutError("timed out")
                left_s = max(left_s, 0.0)

    def sendto(self, data: ReadableBuffer, *flags_and_address: Any) -> int:
        """Send bytes to an address: ``sendto(data, address)`` or ``sendto(data, flags, address)``."""
        *flags, address = flags_and_address or (None,)
        if isinstance(address, Address):
            self._check("send", data, *flags)
        else:
            self._check_address("sendto", data, *flags_and_address)
        to = wire_address(address, self.snapshot.family, "sendto")
        return self._send(_bytes_of(data), integer(flags[0]) if flags else 0, to, self._timeout_s)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive at most ``bufsize`` bytes; ``b""`` means that the peer has ended."""
        self._check("recv", bufsize, flags)
        return self._receive_some(integer(bufsize), integer(flags)).body if bufsize else b""

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """Receive into a buffer, at most ``nbytes`` or what fits; return how many bytes came."""
        self._check("recv_into", buffer, nbytes, flags)
        view = memoryview(buffer).cast("B")
        size = integer(nbytes) or len(view)
        if not size:
            return 0
        answer = self._receive_some(size, integer(flags), view[:size])
        if answer.body:
            view[: len(answer.body)] = answer.body
        return answer.placed + len(answer.body)

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, SocketAddress | None]:
        """Receive at most ``bufsize`` bytes and say from whom; that is ``None`` on a stream, as locally."""
        self._check("recvfrom", bufsize, flags)
        return self._receive_from(integer(bufsize), integer(flags))

    def recvfrom_into(
        self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0
    ) -> tuple[int, SocketAddress | None]:
        """Receive into a buffer and say from whom."""
        self._check("recvfrom_into", buffer, nbytes, flags)
        view = memoryview(buffer).cast("B")
        data, address = self._receive_from(integer(nbytes) or len(view), integer(flags))
        view[: len(data)] = data
        return len(data), address

    def _receive_some(self, size: int, flags: int, into: memoryview | None = None) -> Answer:
        query = {"size": self._at_most(size, flags), "flags": self._told(flags) or None}

        def ask(timeout_s: float) -> Answer:
            asked = {**query, "timeout": timeout_s}
            return self._call("POST", "/recv", query=asked, accept=BYTES, into=into)

        return wait(ask, self._patience(flags))

    def _receive_from(self, size: int, flags: int) -> tuple[bytes, SocketAddress | None]:
        if self._is_stream():
            return self._receive_some(size, flags).body, None
        # JSON: an address in a header cannot carry flow info, or a path that is not UTF-8.
        body = {"size": self._at_most(size, flags), "encoding": "base64"}
        if names := self._told(flags):
            body["flags"] = names

        def ask(timeout_s: float) -> tuple[bytes, SocketAddress | None]:
            return _first_message(self._call("POST", "/recv", {**body, "timeout": timeout_s}).json())

        return wait(ask, self._patience(flags))

    def _send(
        self, data: memoryview, flags: int, to: Mapping[str, Any] | str | None, timeout_s: float | None
    ) -> int:
        if self._is_stream() and len(data) > _SURELY_FITS:
            data = data[: self._exchange.service().limits.body_bytes or _SURELY_FITS]
        names = sending_flags(flags) or None
        text = None if to is None else address_text(to)
        if flags & _DONTWAIT and timeout_s is None:
            timeout_s = 0.0

        def ask(timeout_s: float) -> int:
            if to is not None and text is None:
                body = {"base64": base64.b64encode(data).decode(), "to": to, "timeout": timeout_s}
                return _sent(
                    self._call("POST", "/send", body if names is None else {**body, "flags": names}).json()
                )
            query = {"to": text, "flags": names, "timeout": timeout_s}
            return _sent(self._call("POST", "/send", data, query=query).json())

        return wait(ask, timeout_s)

    def _is_long(self, data: memoryview) -> bool:
        """Tell whether bytes go as a stream: what may not wait does not."""
        if len(data) < LEAST_BYTES or self._timeout_s == 0 or not self._is_stream():
            return False
        return FEATURE in self._exchange.service().extensions

    def _stream(self, deadline: float | None) -> Stream:
        if self._is_closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self._exchange.shares.flush()
        return Stream(self._exchange, f"/v1/sockets/{self.fd}/stream", self.cookie, deadline)

    def _patience(self, flags: int) -> float | None:
        """Say how long a receive waits; with a timeout CPython polls first, and no flag says otherwise."""
        return 0.0 if flags & _AT_ONCE and self._timeout_s is None else self._timeout_s

    def _told(self, flags: int) -> tuple[str, ...]:
        """Name the flags of a receive that the daemon is to know; how long to wait it is told in seconds.

        With a timeout CPython polls and receives once, without waiting: ``MSG_WAITALL`` is for none.
        """
        unused = _DONTWAIT | _ONLY_OF_SEND | (0 if self._timeout_s is None else _WAITALL)
        return message_flag_names(flags & ~unused)

    def _at_most(self, bufsize: int, flags: int) -> int:
        """Cut a buffer size to what the daemon gives in one call; MSG_WAITALL must not be cut."""
        if bufsize <= _SURELY_FITS or flags & socket.MSG_WAITALL:
            return bufsize
        return min(bufsize, self._exchange.service().limits.recv_bytes or _SURELY_FITS)

    def _is_stream(self) -> bool:
        return self.snapshot.type == "stream"


def sending_flags(flags: int) -> tuple[str, ...]:
    """Name the flags of a send that the daemon is to know."""
    return message_flag_names(flags & ~(_DONTWAIT | _ONLY_OF_RECV))


def _bytes_of(data: ReadableBuffer) -> memoryview:
    view = memoryview(data)
    return view if view.format == "B" and view.ndim == 1 and view.c_contiguous else view.cast("B")


def _sent(data: Mapping[str, Any]) -> int:
    sent = data.get("sent")
    if not isinstance(sent, int):
        raise BadAnswerError("the answer to send does not say how much was sent")
    return sent


def _first_message(data: Mapping[str, Any]) -> tuple[bytes, SocketAddress | None]:
    messages = listed(data, "messages")
    if not messages:
        return b"", None
    try:
        address = address_from_json(messages[0].get("from"))
        return base64.b64decode(messages[0]["base64"]), None if address is None else address.as_tuple()
    except (KeyError, TypeError, ValueError) as error:
        raise BadAnswerError(f"the answer to recv is malformed: {error}") from error
