"""What fstat, ioctl, getsockopt and poll say about one socket, given its descriptor number."""

from __future__ import annotations

import _socket
import errno
import fcntl
import importlib.util
import os
import struct
import termios
from dataclasses import dataclass
from typing import TYPE_CHECKING

from socketd.kernel import sockopt

if TYPE_CHECKING:
    import select
    from collections.abc import Callable
    from types import ModuleType

_SO_MEMINFO = 55  # asm-generic/socket.h; CPython 3.11 has a name for neither of the two
_SO_COOKIE = 57
_SIOCINQ = termios.FIONREAD  # linux/sockios.h defines them as these very numbers
_SIOCOUTQ = termios.TIOCOUTQ

_INT = struct.Struct("=i")
_COOKIE = struct.Struct("=Q")
# sk_forward_alloc alone is signed: the kernel charges in advance and may owe for a moment.
_MEMORY = struct.Struct("=4Ii4I")


@dataclass(frozen=True, slots=True)
class Queues:
    """How much waits in each direction; ``None`` where this family or state does not say.

    Attributes:
        unread_bytes: Ready to be received; on UDP and Unix datagram sockets only the first datagram's.
        unsent_bytes: Not yet acknowledged (TCP) or taken (Unix, buffer overhead included) by the peer.
    """

    unread_bytes: int | None
    unsent_bytes: int | None


@dataclass(frozen=True, slots=True)
class Memory:
    """What the kernel has charged to a socket, its buffers' overhead included.

    Attributes:
        fwd_alloc_bytes: Charged in advance and not used yet.
        backlog_bytes: Arrived while a system call held the socket.
        drops: Packets thrown away for want of room in the receive buffer.
    """

    rmem_alloc_bytes: int
    rcvbuf_bytes: int
    wmem_alloc_bytes: int
    sndbuf_bytes: int
    fwd_alloc_bytes: int
    wmem_queued_bytes: int
    optmem_bytes: int
    backlog_bytes: int
    drops: int


def inode(fd: int) -> int:
    """Read the number that ``/proc/<pid>/fd`` and ``ss -e`` show for the socket."""
    return os.fstat(fd).st_ino


def cookie(fd: int) -> int:
    """Read ``SO_COOKIE``: the socket's identity, never used twice in a network namespace's life."""
    (value,) = _COOKIE.unpack(sockopt.get(fd, _socket.SOL_SOCKET, _SO_COOKIE, _COOKIE.size))
    return int(value)


def queues(fd: int) -> Queues:
    """Ask ``SIOCINQ`` and ``SIOCOUTQ``.

    Raises:
        OSError: EBADF only; every other refusal means that there is no such queue.

    Source: tcp(7), udp(7), unix(7); net/unix/af_unix.c for SIOCOUTQ.
    """
    return Queues(_queued_bytes(fd, _SIOCINQ), _queued_bytes(fd, _SIOCOUTQ))


def memory(fd: int) -> Memory:
    """Ask ``SO_MEMINFO``.

    Raises:
        OSError: The kernel's answer, untouched.
    """
    return decode_memory(sockopt.get(fd, _socket.SOL_SOCKET, _SO_MEMINFO, _MEMORY.size))


def decode_memory(raw: bytes) -> Memory:
    """Turn the kernel's ``SK_MEMINFO_*`` array into a record.

    Args:
        raw: From ``SO_MEMINFO`` or the attribute ``INET_DIAG_SKMEMINFO``; a longer array is cut.

    Raises:
        ValueError: ``raw`` ends before ``SK_MEMINFO_DROPS``, which Linux 4.12 (``SO_MEMINFO``'s first) has.

    Source: include/uapi/linux/sock_diag.h.
    """
    if len(raw) < _MEMORY.size:
        raise ValueError(f"SK_MEMINFO of {len(raw)} bytes, at least {_MEMORY.size} expected")
    return Memory(*_MEMORY.unpack_from(raw))


def readiness(fd: int) -> int:
    """Ask poll(2) what is ready at this moment; never waits, nor lets another greenlet run.

    Returns:
        ``revents`` for POLLIN, POLLPRI, POLLOUT and POLLRDHUP, with POLLERR and POLLHUP as they come by
        themselves; POLLNVAL for a number that is not open.
    """
    poll = _new_poll()
    poll.register(fd, _INTEREST)
    ready = poll.poll(0)
    return ready[0][1] if ready else 0


def _queued_bytes(fd: int, request: int) -> int | None:
    try:
        answer = fcntl.ioctl(fd, request, bytes(_INT.size))
    except OSError as error:
        # A listening TCP socket says EINVAL, netlink ENOTTY, others EOPNOTSUPP: many numbers, one meaning.
        if error.errno == errno.EBADF:
            raise
        return None
    (value,) = _INT.unpack(answer)
    return int(value)


def _unpatched_select() -> ModuleType:
    """Load a second instance of the C module ``select``.

    gevent.monkey puts its own ``poll``, which runs the event loop, into the instance in ``sys.modules``, and
    does so before this module is imported; a new instance (PEP 489) has the C functions again.

    Raises:
        ImportError: This Python was built without ``select``.
    """
    spec = importlib.util.find_spec("select")
    if spec is None or spec.loader is None:
        raise ImportError("no module named select")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_select = _unpatched_select()
_new_poll: Callable[[], select.poll] = _select.poll
_INTEREST: int = _select.POLLIN | _select.POLLPRI | _select.POLLOUT | _select.POLLRDHUP
