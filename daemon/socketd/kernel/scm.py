"""Descriptors over a Unix socket: ``SCM_RIGHTS`` by sendmsg(2) and recvmsg(2) on a bare descriptor number.

``socket.send_fds`` and ``socket.recv_fds`` will not do: CPython leaves their ``flags`` unused (#107898), so
what they receive is inherited by every child.
"""

from __future__ import annotations

import _socket
import array
import contextlib
import errno
import fcntl
import os
import struct
import termios
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd.kernel import facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_DESCRIPTORS: Final = 253
"""In one message: SCM_MAX_FD of include/net/scm.h; one more is EINVAL."""
_SO_PASSRIGHTS: Final = 83  # include/uapi/asm-generic/socket.h, since Linux 6.16
_MSG_CMSG_CLOEXEC: Final = 0x40000000  # recvmsg(2); the socket module lacks it
_INT: Final = array.array("i").itemsize
_POLLIN: Final = 0x001
_PAIR: Final = struct.Struct("=ii")
_CONTROL_BYTES: Final = _socket.CMSG_SPACE(MOST_DESCRIPTORS * _INT)


@dataclass(frozen=True, slots=True)
class Message:
    """What one ``recvmsg`` brought; the descriptors belong to whoever received it.

    Attributes:
        data: Empty when the peer has ended its direction.
    """

    data: bytes
    descriptors: tuple[int, ...]


class TruncatedError(OSError):
    """The kernel could not hand over all descriptors of a message; those that came are closed again.

    There is room for as many as a message can have, so it is this process' table that is full, or a security
    module that refused one (receive_fd in fs/file.c).
    """

    def __init__(self) -> None:
        super().__init__(errno.EMFILE, os.strerror(errno.EMFILE))


def send(fd: int, data: bytes, descriptors: Sequence[int] = ()) -> int:
    """Send ``data``, with duplicates of ``descriptors`` on its first byte; does not wait.

    Args:
        fd: A connected Unix stream socket.
        data: At least one byte: no bytes carry no descriptors (unix(7)).
        descriptors: At most ``MOST_DESCRIPTORS``; they stay the caller's.

    Returns:
        Bytes sent; if any, the descriptors went with them.

    Raises:
        ValueError: No byte, or too many descriptors.
        BlockingIOError: The peer's buffer is full.
        OSError: EPIPE; EPERM if the peer takes no descriptors (SO_PASSRIGHTS); EBADF if one is not open;
            ETOOMANYREFS if more are under way than RLIMIT_NOFILE allows this user.

    Source: sendmsg(2), unix(7).
    """
    if not data:
        raise ValueError("descriptors need a byte to travel with")
    if len(descriptors) > MOST_DESCRIPTORS:
        raise ValueError(f"{len(descriptors)} descriptors in a message; {MOST_DESCRIPTORS} are the most")
    rights = array.array("i", descriptors)
    control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if descriptors else []
    borrowed = _borrow(fd)
    try:
        return borrowed.sendmsg([data], control, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
    finally:
        borrowed.detach()


def receive(fd: int, size: int) -> Message:
    """Receive at most ``size`` bytes and the descriptors that came with them, close-on-exec; does not wait.

    Control messages of other kinds (credentials, say) are ignored.

    Raises:
        BlockingIOError: Nothing is there.
        TruncatedError: Descriptors were lost.
        OSError: ECONNRESET and what else recvmsg(2) answers.

    Source: recvmsg(2), unix(7).
    """
    borrowed = _borrow(fd)
    try:
        data, control, flags, _ = borrowed.recvmsg(
            size, _CONTROL_BYTES, _socket.MSG_DONTWAIT | _MSG_CMSG_CLOEXEC
        )
    finally:
        borrowed.detach()
    descriptors = array.array("i")
    for level, kind, content in control:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % _INT])
    if flags & _socket.MSG_CTRUNC:
        close(descriptors)
        raise TruncatedError
    return Message(data, tuple(descriptors))


def close(descriptors: Iterable[int]) -> None:
    """Close every one of them, whatever one of them answers."""
    for each in descriptors:
        with contextlib.suppress(OSError):
            os.close(each)


def closing_may_wait(fd: int) -> bool:
    """Whether ``close(2)`` of this descriptor, as the last one of its file, could keep the thread waiting.

    A socket with SO_LINGER waits for its unsent bytes, O_NONBLOCK or not (inet_release, net/ipv4/af_inet.c).
    What lies unread in a Unix socket, or in one that a listener has not accepted, may bring such a socket
    along: it is closed by whoever closes the queue. And a file of a network or FUSE file system is flushed.
    """
    try:
        borrowed = _borrow(fd)
    except OSError:  # ENOTSOCK
        return True
    try:
        is_on, seconds = _PAIR.unpack(borrowed.getsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _PAIR.size))
        return bool(is_on and seconds) or _brings_others(borrowed, fd)
    except OSError:  # a family without options
        return True
    finally:
        borrowed.detach()


def _brings_others(sock: _socket.socket, fd: int) -> bool:
    """Whether something lies in a Unix socket that may carry descriptors."""
    if sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_DOMAIN) != _socket.AF_UNIX:
        return False
    is_listening = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN)
    if sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_TYPE) == _socket.SOCK_STREAM and not is_listening:
        return any(fcntl.ioctl(fd, termios.FIONREAD, bytes(_PAIR.size)))  # poll(2) tells its end as well
    return bool(facts.readiness(fd) & _POLLIN)  # an empty datagram can carry them, too


def set_accepting(fd: int, *, is_accepting: bool) -> None:
    """Say whether the peer may send descriptors; those that a listener accepts are as it is.

    Who may connect could else make us keep descriptors: what was never received by ``recvmsg`` is closed only
    when its bytes are read. Does nothing before Linux 6.16.

    Source: net/core/sock.c SO_PASSRIGHTS; net/unix/af_unix.c unix_stream_connect, which copies the flag.
    """
    borrowed = _borrow(fd)
    try:
        with contextlib.suppress(OSError):  # ENOPROTOOPT
            borrowed.setsockopt(_socket.SOL_SOCKET, _SO_PASSRIGHTS, int(is_accepting))
    finally:
        borrowed.detach()


def _borrow(fd: int) -> _socket.socket:
    """Wrap a number for one call; ``detach`` gives it back. Family and type given are not asked for."""
    return _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)
