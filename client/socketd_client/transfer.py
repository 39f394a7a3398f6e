"""Bytes through a held socket, with the manners of ``socket.socket``."""

from __future__ import annotations

import base64
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from socketd_client.addresses import SocketAddress, address_from_json
from socketd_client.calls import BYTES
from socketd_client.constants import message_flag_names
from socketd_client.errors import BadAnswerError
from socketd_client.naming import address_text, wire_address
from socketd_client.reference import HeldSocket, wait
from socketd_client.wire import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import ReadableBuffer, WriteableBuffer

# Below this, no daemon's limits need to be known.
_SURELY_FITS: Final = 65536
_DONTWAIT: Final = getattr(socket, "MSG_DONTWAIT", 0)


class Transfer(HeldSocket):
    """The sending and receiving part of a socket handle."""

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        """Send bytes; return how many went, which may be fewer than there are."""
        return self._send(_bytes_of(data), flags, None, self._timeout_s)

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        """Send all bytes; the timeout is for all of it. On an error there is no telling how many went."""
        rest = _bytes_of(data)
        deadline = None if self._timeout_s is None else time.monotonic() + self._timeout_s
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
        if len(flags_and_address) not in (1, 2):
            raise TypeError(f"sendto() takes 2 or 3 arguments ({len(flags_and_address) + 1} given)")
        flags = flags_and_address[0] if len(flags_and_address) > 1 else 0
        to = wire_address(flags_and_address[-1], self.snapshot.family, "sendto")
        return self._send(_bytes_of(data), flags, to, self._timeout_s)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive at most ``bufsize`` bytes; ``b""`` means that the peer has ended."""
        if bufsize < 0:
            raise ValueError("negative buffersize in recv")
        size = self._at_most(bufsize, flags)
        query = {"size": size, "flags": message_flag_names(flags & ~_DONTWAIT) or None}

        def ask(timeout_s: float) -> bytes:
            return self._call("POST", "/recv", query={**query, "timeout": timeout_s}, accept=BYTES).body

        return wait(ask, self._patience(flags))

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """Receive into a buffer, at most ``nbytes`` or what fits; return how many bytes came."""
        view = _room_in(buffer)
        if nbytes < 0:
            raise ValueError("negative buffersize in recv_into")
        if nbytes > len(view):
            raise ValueError("buffer too small for requested bytes")
        data = self.recv(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data)

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, SocketAddress | None]:
        """Receive at most ``bufsize`` bytes and say from whom; that is ``None`` on a stream, as locally."""
        if bufsize < 0:
            raise ValueError("negative buffersize in recvfrom")
        if self._is_stream():
            return self.recv(bufsize, flags), None
        # JSON: an address in a header cannot carry flow info, or a path that is not UTF-8.
        body = {"size": self._at_most(bufsize, flags), "encoding": "base64"}
        if flags & ~_DONTWAIT:
            body["flags"] = message_flag_names(flags & ~_DONTWAIT)

        def ask(timeout_s: float) -> tuple[bytes, SocketAddress | None]:
            return _first_message(self._call("POST", "/recv", {**body, "timeout": timeout_s}).json())

        return wait(ask, self._patience(flags))

    def recvfrom_into(
        self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0
    ) -> tuple[int, SocketAddress | None]:
        """Receive into a buffer and say from whom."""
        view = _room_in(buffer)
        if nbytes < 0:
            raise ValueError("negative buffersize in recvfrom_into")
        if nbytes > len(view):
            raise ValueError("nbytes is greater than the length of the buffer")
        data, address = self.recvfrom(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data), address

    def _send(
        self, data: memoryview, flags: int, to: Mapping[str, Any] | str | None, timeout_s: float | None
    ) -> int:
        if self._is_stream() and len(data) > _SURELY_FITS:
            data = data[: self._exchange.service().limits.body_bytes or _SURELY_FITS]
        names = message_flag_names(flags & ~_DONTWAIT) or None
        text = None if to is None else address_text(to)
        if flags & _DONTWAIT:
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

    def _patience(self, flags: int) -> float | None:
        return 0.0 if flags & _DONTWAIT else self._timeout_s

    def _at_most(self, bufsize: int, flags: int) -> int:
        """Cut a buffer size to what the daemon gives in one call; MSG_WAITALL must not be cut."""
        if bufsize <= _SURELY_FITS or flags & socket.MSG_WAITALL:
            return bufsize
        return min(bufsize, self._exchange.service().limits.recv_bytes or _SURELY_FITS)

    def _is_stream(self) -> bool:
        return self.snapshot.type == "stream"


def _bytes_of(data: ReadableBuffer) -> memoryview:
    if isinstance(data, str):
        raise TypeError("a bytes-like object is required, not 'str'")
    view = memoryview(data)
    return view if view.format == "B" and view.ndim == 1 and view.c_contiguous else view.cast("B")


def _room_in(buffer: WriteableBuffer) -> memoryview:
    view = memoryview(buffer)
    if view.readonly:
        raise TypeError(f"a read-write bytes-like object is required, not '{type(buffer).__name__}'")
    return view.cast("B")


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
