"""Bytes between our standard input and output and a socket, both ways, with the half-close right.

Each direction is a thread that blocks: standard input and output are shared with other processes, whose
blocking mode is not ours to change, and one that stalls must not stop the other.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")
_CHUNK: Final = 1 << 18
_STDIN: Final = 0
_STDOUT: Final = 1
_GONE: Final = (errno.EPIPE, errno.ECONNRESET)


class Peer(Protocol):
    """What is at the other side: a local socket, or a held one through the API."""

    def recv(self, size: int, /) -> bytes:
        """Wait for bytes; ``b""`` is the end."""

    def sendall(self, data: bytes, /) -> None:
        """Send them all."""

    def shutdown(self, how: int, /) -> None:
        """Shut a direction."""


class LocalPeer:
    """A socket of this process; its blocking mode, which it may share with the daemon, is left alone."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def recv(self, size: int, /) -> bytes:
        """Wait for bytes."""
        while True:
            try:
                return self._sock.recv(size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._wait(select.POLLIN)

    def sendall(self, data: bytes, /) -> None:
        """Send them all."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._sock.send(rest, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                self._wait(select.POLLOUT)

    def shutdown(self, how: int, /) -> None:
        """Shut a direction."""
        self._sock.shutdown(how)

    def splice_out(self) -> bool:
        """Move the socket's bytes to standard output, a pipe, uncopied; ``False`` if that cannot be."""
        return self._splice(self._sock.fileno(), _STDOUT, select.POLLIN, (_STDOUT, select.POLLOUT))

    def splice_in(self) -> bool:
        """Move the bytes of standard input, a pipe, to the socket, uncopied; ``False`` if that cannot be."""
        return self._splice(_STDIN, self._sock.fileno(), select.POLLOUT, (_STDIN, select.POLLIN))

    def _splice(self, source: int, target: int, event: int, of_the_pipe: tuple[int, int]) -> bool:
        moved = 0
        while True:
            # Not into a wait: splice(2) waits for a socket with the pipe locked, and who reads the pipe
            # stands still although bytes are in it. A tunnel's socket blocks, and a held one may come to.
            self._wait(event)
            try:
                count = os.splice(source, target, _CHUNK)
            except BlockingIOError:
                # Somebody made the pipe non-blocking; or it was the socket: the next round waits for that.
                self._wait(of_the_pipe[1], of_the_pipe[0])
            except OSError as error:
                if error.errno == errno.EINVAL and not moved:
                    return False  # neither end is a pipe, or this kind of socket cannot
                raise
            else:
                if not count:
                    return True
                moved += count

    def _wait(self, event: int, fd: int | None = None) -> None:
        poll = select.poll()
        poll.register(self._sock if fd is None else fd, event)
        poll.poll()


class TlsPeer:
    """A tunnel with TLS. OpenSSL does not read and write at the same time, so the threads take turns.

    Args:
        sock: Nobody else uses it; it becomes non-blocking.
    """

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock
        self._turn = threading.Lock()
        sock.settimeout(0.0)

    def recv(self, size: int, /) -> bytes:
        """Wait for bytes."""
        return self._until_done(lambda: self._sock.recv(size))

    def sendall(self, data: bytes, /) -> None:
        """Send them all."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._until_done(partial(self._sock.send, rest)) :]

    def shutdown(self, how: int, /) -> None:
        """Shut a direction."""
        with self._turn:
            self._sock.shutdown(how)

    def _until_done(self, attempt: Callable[[], Result]) -> Result:
        while True:
            try:
                with self._turn:
                    return attempt()
            except ssl.SSLWantReadError:
                event = select.POLLIN
            except ssl.SSLWantWriteError:
                event = select.POLLOUT
            poll = select.poll()
            poll.register(self._sock, event)
            poll.poll()


class Pump:
    """Copies standard input to a peer, and the peer to standard output, until both have ended.

    The end of standard input shuts the peer's sending side and the peer's end closes standard output; the
    other direction goes on. At a terminal, nobody waits for more to be typed when the peer has ended.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._failure: BaseException | None = None
        self._inward = threading.Thread(target=self._guarded, args=(self._send,), daemon=True)
        self._outward = threading.Thread(target=self._guarded, args=(self._receive,), daemon=True)

    def run(self) -> None:
        """Copy until the end.

        Raises:
            OSError: The peer broke, or standard output did.
        """
        self._inward.start()
        self._outward.start()
        self._outward.join()
        if self._failure is None and not sys.stdin.isatty():
            self._inward.join()
        if self._failure is not None:
            raise self._failure

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            self._failure = self._failure or error

    def _send(self) -> None:
        try:
            if not (isinstance(self._peer, LocalPeer) and self._peer.splice_in()):
                while data := os.read(_STDIN, _CHUNK):
                    self._peer.sendall(data)
        except OSError as error:
            # The peer wants no more of us; or standard input is a socket whose other end has gone with
            # bytes of ours unread (ssh's, when it gives up), which is an end like any other.
            if error.errno not in _GONE:
                raise
        try:
            self._peer.shutdown(socket.SHUT_WR)
        except OSError as error:
            # What it still says, the other direction tells.
            if error.errno not in (*_GONE, errno.ENOTCONN):
                raise

    def _receive(self) -> None:
        if not (isinstance(self._peer, LocalPeer) and self._peer.splice_out()):
            while data := self._peer.recv(_CHUNK):
                _write(data)
        # The reader of our output sees the end now, though we may still be sending.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, _STDOUT)
        os.close(null)


def _write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(_STDOUT, rest) :]
        except BlockingIOError:  # somebody else made it so
            poll = select.poll()
            poll.register(_STDOUT, select.POLLOUT)
            poll.poll()
