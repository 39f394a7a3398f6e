"""Descriptors that come with the bytes of HTTP answers (``SCM_RIGHTS``), and who owns them."""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import select
import socket
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_DESCRIPTORS: Final = 253
"""In one message: SCM_MAX_FD, include/net/scm.h."""
_MSG_CMSG_CLOEXEC: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0x40000000)  # recvmsg(2)
_INT: Final = array.array("i").itemsize
_CONTROL_BYTES: Final = MOST_DESCRIPTORS * _INT


class PassingSocket(socket.socket):
    """A socket whose instances can have a ``recv_into`` of their own for a while."""

    recv_into: Any


class Received:
    """Descriptors that came, close-on-exec, until somebody detaches them.

    Args:
        room: So many have to fit into this process. What is released and does not fit would be lost.

    Raises:
        OSError: EMFILE, there is no such room.
    """

    def __init__(self, room: int = 0) -> None:
        self._sock: PassingSocket | None = None
        self._descriptors: list[int] = []
        self._is_truncated = False
        self._room: list[int] = []
        try:
            if room:
                self._room.append(os.open(os.devnull, os.O_RDONLY))
            while len(self._room) < room:
                self._room.append(fcntl.fcntl(self._room[0], fcntl.F_DUPFD_CLOEXEC, 0))
        except BaseException:
            self.close()
            raise

    @property
    def count(self) -> int:
        """How many came with the last answer, and are here."""
        return 0 if self._is_truncated else len(self._descriptors)

    def begin(self, sock: PassingSocket) -> None:
        """Read in place of the connection's ``recv_into``, for one answer; an earlier one's are closed."""
        close_all(self._descriptors)
        self._descriptors.clear()
        self._is_truncated = False
        self._sock = sock
        sock.recv_into = self._receive_into

    def end(self) -> None:
        """Let the connection read by itself again; harmless if nothing began."""
        if self._sock is not None:
            self._sock.__dict__.pop("recv_into", None)
            self._sock = None

    def detach(self) -> list[int]:
        """Give them to the caller, who owns them from here.

        Raises:
            OSError: EMFILE, some did not fit; the others are still here.
        """
        if self._is_truncated:
            text = f"{os.strerror(errno.EMFILE)}: raise RLIMIT_NOFILE of this process"
            raise OSError(errno.EMFILE, text)
        found, self._descriptors = self._descriptors, []
        return found

    def close(self) -> None:
        """Close what nobody detached."""
        self.end()
        close_all(self._descriptors)
        self._descriptors.clear()
        self._leave_room(len(self._room))

    def _receive_into(self, buffer: memoryview, nbytes: int = 0, flags: int = 0) -> int:
        assert self._sock is not None  # noqa: S101 - installed by begin, removed by end
        view = memoryview(buffer)[:nbytes] if nbytes else buffer
        if self._room:
            _await(self._sock)  # the room is left only right before it is needed
            self._leave_room(MOST_DESCRIPTORS)
        size, control, told, _ = self._sock.recvmsg_into(
            [view], socket.CMSG_SPACE(_CONTROL_BYTES), flags | _MSG_CMSG_CLOEXEC
        )
        self._descriptors += unpack_rights(control)
        # The answer is read to its end all the same: what went wrong is told by detach.
        self._is_truncated = self._is_truncated or bool(told & socket.MSG_CTRUNC)
        return size

    def _leave_room(self, count: int) -> None:
        close_all(self._room[-count:])
        del self._room[-count:]


RECEIVED: Final[ContextVar[Received | None]] = ContextVar("RECEIVED", default=None)
"""Where the answers to this thread's requests leave their descriptors."""


@contextlib.contextmanager
def receiving(room: int = 0) -> Iterator[Received]:
    """Keep the descriptors that come with the answers inside the block; those left at its end are closed."""
    received = Received(room)
    token = RECEIVED.set(received)
    try:
        yield received
    finally:
        RECEIVED.reset(token)
        received.close()


def close_all(descriptors: Iterable[int]) -> None:
    """Close every one of them, whatever one of them answers."""
    for each in descriptors:
        with contextlib.suppress(OSError):
            os.close(each)


def unpack_rights(control: Iterable[tuple[int, int, bytes]]) -> array.array[int]:
    """Find the descriptors in what ``recvmsg`` gave beside the data."""
    found = array.array("i")
    for level, kind, content in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(content[: len(content) - len(content) % _INT])
    return found


def _await(sock: socket.socket) -> None:
    timeout_s = sock.gettimeout()
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    if not poll.poll(None if timeout_s is None else timeout_s * 1000):
        raise TimeoutError("timed out")
