"""A connection on which descriptors pass, in steps that wait a bounded time for the other side."""

from __future__ import annotations

import _socket
import contextlib
import os
import time
from select import POLLIN, POLLOUT
from typing import TYPE_CHECKING, Final, TypeVar

from socketd.core.hints import refused
from socketd.errors import ClientGoneError, InvalidRequestError, PeerStalledError
from socketd.kernel import facts, scm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from socketd.core.entry import Entry
    from socketd.core.seams import Closer, Waiter
    from socketd.core.table import SocketTable

T = TypeVar("T")
STEP_S: Final = 5.0
"""How long one step may take; what waits in a connection nobody reads pins sockets and counts for us."""
_CHUNK: Final = 256 * 1024
_TURNS: Final = 8
_FIRST_LOOK_S: Final = 0.0005
_LAST_LOOK_S: Final = 0.01
_NO_DESCRIPTORS: Final = "descriptors came where none were expected"


class Channel:
    """One Unix connection, used by one request.

    Args:
        fd: The connection, not owned; nobody else reads or writes it meanwhile.
        waiter: The request's own.
        step_s: The bound of one step.
        closer: Closes descriptors that came and are not wanted.
    """

    def __init__(self, fd: int, waiter: Waiter, step_s: float = STEP_S, closer: Closer = os.close) -> None:
        self._fd = fd
        self._waiter = waiter
        self._step_s = step_s
        self._closer = closer

    def send(self, data: bytes) -> None:
        """Send all of ``data``.

        Raises:
            PeerStalledError, ClientGoneError: The other side does not read.
        """
        sent = 0

        def attempt() -> int:
            return scm.send(self._fd, data[sent : sent + _CHUNK])

        while sent < len(data):
            sent += self._until(POLLOUT, "sendmsg", attempt)

    def lend(self, data: bytes, table: SocketTable, entries: Sequence[Entry]) -> None:
        """Send ``data`` with duplicates of ``entries``, at most ``scm.MOST_DESCRIPTORS``, on its first byte.

        Raises:
            ClosedMeanwhileError: One of them was closed.
            PeerStalledError, ClientGoneError: The other side does not read.
        """

        def attempt() -> int:
            with table.lent(entries) as numbers:
                return scm.send(self._fd, data, numbers)

        sent = self._until(POLLOUT, "sendmsg", attempt)
        self.send(data[sent:])

    def receive(self, size: int) -> bytes:
        """Receive exactly ``size`` bytes.

        Raises:
            InvalidRequestError: Descriptors came with them; they are closed.
            PeerStalledError, ClientGoneError: They do not come.
        """
        data = bytearray()
        while len(data) < size:
            message = self._receive(min(size - len(data), _CHUNK))
            if message.descriptors:
                self._refuse(message)
                raise InvalidRequestError(_NO_DESCRIPTORS, member="sockets")
            data += message.data
        return bytes(data)

    def receive_batch(self) -> tuple[int, ...]:
        """Receive one byte, which is a number, with so many descriptors; the caller owns them.

        Raises:
            InvalidRequestError: Others came than announced; all are closed.
            KernelRefusedError: EMFILE, our table is full.
            PeerStalledError, ClientGoneError: Nothing comes.
        """
        message = self._receive(1)
        announced, came = message.data[0], len(message.descriptors)
        if announced == came and came:
            return message.descriptors
        self._refuse(message)
        raise InvalidRequestError(
            f"{announced} descriptors were announced, {came} came",
            member="sockets",
            hint="one byte, the number of descriptors, goes with each 1 to 253 of them in one sendmsg(2)",
        )

    def await_read(self) -> None:
        """Wait until the other side has read everything: what it has read cannot be lost with it.

        Nothing tells when a Unix stream's queue runs empty, so it is looked at, ever less often.

        Raises:
            PeerStalledError: It reads nothing.
            ClientGoneError: It has gone; the kernel threw away what was unread.
        """
        unread, look_s = self._unread(), _FIRST_LOOK_S
        for _ in range(_TURNS):  # one that waits for its answer has read within a few turns of the loop
            if not unread:
                break
            self._waiter.give_way()
            unread = self._unread()
        deadline = time.monotonic() + self._step_s
        while unread:
            with self._waiter.pause() as pause:
                pause.wait(time.monotonic() + look_s)
            before, unread, look_s = unread, self._unread(), min(2 * look_s, _LAST_LOOK_S)
            if unread < before:
                deadline = time.monotonic() + self._step_s
            elif time.monotonic() >= deadline:
                raise PeerStalledError("recvmsg", self._step_s)
        self._waiter.check()

    def end(self) -> None:
        """End the connection; what the other side has not read stays readable for it."""
        bare = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, self._fd)
        try:
            with contextlib.suppress(OSError):  # it has gone
                bare.shutdown(_socket.SHUT_RDWR)
        finally:
            bare.detach()

    def _refuse(self, message: scm.Message) -> None:
        for each in message.descriptors:
            self._closer(each)

    def _unread(self) -> int:
        return facts.queues(self._fd).unsent_bytes or 0

    def _receive(self, size: int) -> scm.Message:
        message = self._until(POLLIN, "recvmsg", lambda: scm.receive(self._fd, size))
        if not message.data:
            self._refuse(message)
            raise ClientGoneError
        return message

    def _until(self, events: int, syscall: str, attempt: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._step_s
        while True:
            try:
                return attempt()
            except BlockingIOError:
                self._await(events, deadline, syscall)
            except OSError as error:
                raise refused(error, syscall) from error

    def _await(self, events: int, deadline: float, syscall: str) -> None:
        # The connection itself is watched for the client's end already, under its own number.
        watched = os.dup(self._fd)
        try:
            with self._waiter.pause() as pause:
                pause.arm(watched, events)
                if not pause.wait(deadline):
                    raise PeerStalledError(syscall, self._step_s)
        finally:
            os.close(watched)
