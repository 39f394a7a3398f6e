"""``sendmsg`` and ``recvmsg`` of a socket handle: scattered buffers, and what travels beside the bytes."""

from __future__ import annotations

import base64
import errno
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from socketd_client import ancillary, rights
from socketd_client.addresses import Address, address_from_json
from socketd_client.ancillary import MOST_BYTES, NOTHING, Came
from socketd_client.arguments import integer
from socketd_client.calls import BYTES
from socketd_client.errors import BadAnswerError
from socketd_client.naming import wire_address
from socketd_client.reference import wait
from socketd_client.transfer import Transfer, sending_flags
from socketd_client.wire import listed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import ReadableBuffer, WriteableBuffer

    from socketd_client.addresses import SocketAddress
    from socketd_client.ancillary import Item

_MOST_BUFFERS: Final = 1024  # UIO_MAXIOV, include/uapi/linux/uio.h


class Messages(Transfer):
    """The part of a socket handle that sends and receives messages with control data."""

    def sendmsg(
        self,
        buffers: Iterable[ReadableBuffer],
        ancdata: Iterable[tuple[int, int, ReadableBuffer]] = (),
        flags: int = 0,
        address: Any = None,
        /,
    ) -> int:
        """Send the bytes of several buffers with control messages; return how many bytes went.

        Descriptors (``SCM_RIGHTS``) are of sockets only. The daemon holds them until they are sent; numbers
        that ``fileno()`` of a handle gave are sent as the sockets they stand for. Credentials cannot be sent:
        they would be the daemon's.
        """
        parts, beside = _listed(buffers), _listed(ancdata)
        if isinstance(address, Address):
            self._check("sendmsg", parts, beside, flags)
        else:
            self._check_address("sendmsg", parts, beside, flags, address)
        self._must_be_open()
        data, items, flags = _gathered(parts), ancillary.items(beside), integer(flags)
        to = None if address is None else wire_address(address, self.snapshot.family, "sendmsg")
        timeout_s = self._patience(flags & socket.MSG_DONTWAIT)  # other flags stand for themselves here
        if not items:
            return self._send(data, flags, to, timeout_s)
        body: dict[str, Any] = {"base64": base64.b64encode(data).decode()}
        if to is not None:
            body["to"] = to
        if names := sending_flags(flags):
            body["flags"] = names
        if not rights.has_rights(items):
            return self._send_with(body, ancillary.to_json(items, int), timeout_s)
        return rights.sending(
            self._exchange,
            items,
            lambda lent: self._send_with(body, ancillary.to_json(items, lent.number, lent.made), timeout_s),
        )

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[Item], int, SocketAddress | None]:
        """Receive a message: its bytes, its control messages, ``msg_flags`` and where it came from.

        Sockets that come as ``SCM_RIGHTS`` are descriptors of this process, close-on-exec; over TCP the
        daemon holds them, and the numbers are those of ``Socket(fileno=...)``.
        """
        self._check("recvmsg", bufsize, ancbufsize, flags)
        size, space, flags = integer(bufsize), integer(ancbufsize), integer(flags)
        came, items = self._receive(size, space, flags)
        return came.data, items, came.flags, _source(came)

    def recvmsg_into(
        self, buffers: Iterable[WriteableBuffer], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[Item], int, SocketAddress | None]:
        """Receive a message into several buffers, one after the other; otherwise as ``recvmsg``."""
        parts = _listed(buffers)
        self._check("recvmsg_into", parts, ancbufsize, flags)
        space, flags = integer(ancbufsize), integer(flags)
        views = [memoryview(part).cast("B") for part in parts]
        came, items = self._receive(sum(len(view) for view in views), space, flags, len(views))
        rest = memoryview(came.data)
        for view in views:
            piece = rest[: len(view)]
            view[: len(piece)] = piece
            rest = rest[len(piece) :]
        asked_length = flags & socket.MSG_TRUNC
        return came.length if asked_length else len(came.data), items, came.flags, _source(came)

    def _send_with(self, body: dict[str, Any], control: list[dict[str, Any]], timeout_s: float | None) -> int:
        def ask(timeout_s: float) -> int:
            answer = self._call("POST", "/send", {**body, "control": control, "timeout": timeout_s}).json()
            sent = answer.get("sent")
            if not isinstance(sent, int):
                raise BadAnswerError("the answer to send does not say how much was sent")
            return sent

        return wait(ask, timeout_s)

    def _receive(self, size: int, space: int, flags: int, buffers: int = 1) -> tuple[Came, list[Item]]:
        self._must_be_open()
        if buffers > _MOST_BUFFERS:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        size, names = self._at_most(size, flags), self._told(flags)
        if space == 0 and self._is_stream():
            return self._receive_bytes(size, names, self._patience(flags)), []
        body: dict[str, Any] = {"size": size, "encoding": "base64"}
        if space:
            body["control_size"] = min(space, MOST_BYTES)
        if names:
            body["flags"] = names

        def ask(timeout_s: float) -> Came:
            answer = self._call("POST", "/recv", {**body, "timeout": timeout_s}).json()
            messages = listed(answer, "messages")
            return ancillary.from_json(messages[0]) if messages else NOTHING

        return self._with_descriptors(wait(ask, self._patience(flags)))

    def _receive_bytes(self, size: int, names: tuple[str, ...], timeout_s: float | None) -> Came:
        def ask(timeout_s: float) -> Came:
            query = {"size": size, "flags": names or None, "timeout": timeout_s}
            answer = self._call("POST", "/recv", query=query, accept=BYTES)
            length = int(answer.headers.get("Socket-Length") or len(answer.body))
            told = [name for name in answer.headers.get("Socket-Flags", "").split(", ") if name]
            return Came(answer.body, length, ancillary.flags_of(told))

        return wait(ask, timeout_s)

    def _with_descriptors(self, came: Came) -> tuple[Came, list[Item]]:
        descriptors, is_cut = rights.taken(self._exchange, came.control)
        items = (ancillary.item_of(control, descriptors) for control in came.control)
        flags = came.flags | (socket.MSG_CTRUNC if is_cut else 0)
        found = [item for item in items if item is not None]
        return Came(came.data, came.length, flags, came.source), found


def _gathered(buffers: list[ReadableBuffer]) -> memoryview:
    if len(buffers) > _MOST_BUFFERS:
        raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
    return memoryview(buffers[0] if len(buffers) == 1 else b"".join(buffers)).cast("B")


def _listed(items: Iterable[Any]) -> Any:
    """Go once through what is iterable, which may be a generator; nothing else is changed."""
    try:
        found = iter(items)
    except TypeError:
        return items  # which is refused with the other arguments
    return list(found)


def _source(came: Came) -> SocketAddress | None:
    try:
        address = address_from_json(came.source)
    except (KeyError, TypeError, ValueError) as error:
        raise BadAnswerError(f"the answer to recv is malformed: {error}") from error
    return None if address is None else address.as_tuple()
