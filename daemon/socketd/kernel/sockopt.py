"""getsockopt(2) on a bare descriptor number."""

from __future__ import annotations

import _socket
import sys

_INT_BYTES = 4


def get(fd: int, level: int, option: int, size: int) -> bytes:
    """Ask for at most ``size`` bytes of an option; ``fd`` stays the caller's.

    The C socket type is used and not ``socket.socket``, which gevent replaces by one with watchers, and not
    ctypes, whose import makes a closure in writable and executable memory (``MemoryDenyWriteExecute=``).

    Args:
        fd: A socket's descriptor.
        level: ``SOL_SOCKET`` or a protocol's number.
        option: The option's number.
        size: Most bytes to copy out; CPython allows 1024.

    Raises:
        OSError: The kernel's answer, untouched; EBADF and ENOTSOCK included.
    """
    # All three of family, type and protocol are given, so CPython asks the kernel for none of them, and as no
    # default timeout is ever set here it leaves O_NONBLOCK of the shared description alone.
    borrowed = _socket.socket(_socket.AF_UNSPEC, 0, 0, fd)
    try:
        return borrowed.getsockopt(level, option, size)
    finally:
        borrowed.detach()


def number(fd: int, level: int, option: int) -> int:
    """Read an option that is an ``int`` of C.

    Of a vsock socket CPython's own getsockopt gives 64 bits, of which the kernel writes the lower half.

    Raises:
        OSError: As ``get``.
    """
    return int.from_bytes(get(fd, level, option, _INT_BYTES), sys.byteorder, signed=True)
