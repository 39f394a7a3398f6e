"""Where one child speaks to us: the receiving end of sd_notify(3)."""

from __future__ import annotations

import array
import logging
import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd.kernel import scm

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_BYTES: Final = 64 * 1024
_UCRED: Final = struct.Struct("=iII")  # pid, uid, gid
_INT: Final = array.array("i").itemsize
_CONTROL_BYTES: Final = socket.CMSG_SPACE(_UCRED.size) + socket.CMSG_SPACE(scm.MOST_DESCRIPTORS * _INT)
_MSG_CMSG_CLOEXEC: Final = 0x40000000  # recvmsg(2); the socket module lacks it

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Notification:
    """One message; whoever received it owns the descriptors."""

    fields: Mapping[str, str]
    descriptors: tuple[int, ...] = ()


class Mailbox:
    """One child's NOTIFY_SOCKET; a new process gets a new one, so that nobody speaks for its successor.

    Its name is abstract: no file is left behind, however we end. Such names have no permissions, so it counts
    who sends.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)  # noqa: FBT003 - the method's own signature
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._socket.bind("")  # autobind: the kernel finds a free name (unix(7))
        except BaseException:
            self._socket.close()
            raise

    @property
    def address(self) -> str:
        """What NOTIFY_SOCKET is to be."""
        return "@" + bytes(self._socket.getsockname())[1:].decode("ascii")

    def fileno(self) -> int:
        """Return what to poll."""
        return self._socket.fileno()

    def receive(self) -> Notification | None:
        """Return the next message, or ``None`` when none is there; does not wait."""
        while True:
            try:
                data, control, flags, _ = self._socket.recvmsg(_MOST_BYTES, _CONTROL_BYTES, _MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return None
            uid, descriptors = _unpack(control)
            if uid not in (0, os.getuid()):
                scm.close(descriptors)
            elif flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                log.warning("a notification did not arrive whole; this process may be out of descriptors")
                scm.close(descriptors)
            else:
                return Notification(_fields(data), tuple(descriptors))

    def close(self) -> None:
        """Give it back; what was not received is gone, and its descriptors are closed by the kernel."""
        self._socket.close()


def _unpack(control: list[tuple[int, int, bytes]]) -> tuple[int | None, array.array[int]]:
    uid = None
    descriptors = array.array("i")
    for level, kind, content in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            uid = _UCRED.unpack(content)[1]
        elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % _INT])
    return uid, descriptors


def _fields(data: bytes) -> dict[str, str]:
    found = {}
    for line in data.decode("utf-8", "replace").split("\n"):
        with suppress(ValueError):  # no "=" in it
            name, value = line.split("=", 1)
            found[name] = value
    return found
